"""The time zone of limits is the ledger's, whatever the process that asks is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from stakewire.errors import ConfigError
from stakewire.postgres.connect import app_role, open_pool
from stakewire.postgres.wallet.zone import fix_calendar, read_calendar

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool as the wallet opens it."""
    opened = await open_pool(database_url, schema="wallet", role=app_role("wallet"), max_size=8)
    yield opened
    opened.terminate()


async def test_the_first_use_fixes_the_zone(pool: asyncpg.Pool) -> None:
    """Who names none, or the same, gets the ledger's; who names another is told what the ledger has."""
    assert (await fix_calendar(pool, "Europe/Malta", NOW)).zone_name == "Europe/Malta"
    for wanted in (None, "Europe/Malta"):
        assert (await fix_calendar(pool, wanted, NOW)).zone_name == "Europe/Malta"
        assert (await read_calendar(pool, wanted)).zone_name == "Europe/Malta"
    for ask in (fix_calendar(pool, "UTC", NOW), read_calendar(pool, "UTC")):
        with pytest.raises(ConfigError, match="'Europe/Malta', not in 'UTC'"):
            await ask
    with pytest.raises(ConfigError, match="not known"):
        await fix_calendar(pool, "Mars/Olympus", NOW)


async def test_without_a_setting_it_is_utc(pool: asyncpg.Pool) -> None:
    """And stays so: a zone set later is refused. Reading alone fixes nothing."""
    assert (await read_calendar(pool, None)).zone_name == "UTC"
    assert (await read_calendar(pool, "Asia/Tokyo")).zone_name == "Asia/Tokyo"
    assert (await fix_calendar(pool, None, NOW)).zone_name == "UTC"
    with pytest.raises(ConfigError):
        await fix_calendar(pool, "Asia/Tokyo", NOW)


async def test_of_two_at_once_one_is_first(pool: asyncpg.Pool) -> None:
    """Processes that start together with different zones never both begin."""
    zones = ["Europe/Malta", "Asia/Tokyo"] * 3
    done = await asyncio.gather(*(fix_calendar(pool, zone, NOW) for zone in zones), return_exceptions=True)
    agreed = {one.zone_name for one in done if not isinstance(one, BaseException)}
    assert len(agreed) == 1
    assert [type(one) for one in done].count(ConfigError) == 3


async def test_the_running_wallet_cannot_change_it(pool: asyncpg.Pool) -> None:
    """Least privilege: the zone is written once."""
    await fix_calendar(pool, None, NOW)
    for statement in ("UPDATE ledger_zone SET time_zone = 'Asia/Tokyo'", "DELETE FROM ledger_zone"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)
