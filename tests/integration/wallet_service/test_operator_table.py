"""Operators on real PostgreSQL, as the application's own role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from stakewire.errors import Conflict, NotFound, Unavailable
from stakewire.postgres.connect import app_role, open_pool
from stakewire.postgres.wallet.operators import OperatorTable
from stakewire.wire.sportsbook.profile import Profile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=7)


def seal(secret_id: int) -> bytes:
    """Stands for the vault."""
    return f"sealed {secret_id}".encode()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool as the service opens it."""
    opened = await open_pool(database_url, schema="wallet", role=app_role("wallet"), max_size=8)
    yield opened
    opened.terminate()


@pytest.fixture
def table(pool: asyncpg.Pool) -> OperatorTable:
    """The table under test."""
    return OperatorTable(pool)


async def rotate(
    table: OperatorTable, at: datetime = NOW, *, at_once: bool = False, max_live: int = 4
) -> int:
    """Another secret for `acme`."""
    others = at if at_once else at + timedelta(days=7)
    return await table.add_secret("acme", at, seal, retire_others_at=others, max_live=max_live)


async def test_what_is_added_is_loaded(table: OperatorTable) -> None:
    """By name, with the profile and the sealed secret; the cashier is nobody's operator."""
    profile = Profile(altered_replay="refuse", hash_headers=("X-Hash",), retry_schedule=(0.0, 1.5))
    await table.add("beta", Profile(), NOW, seal)
    await table.add("acme", profile, NOW, seal)
    first, second = await table.load()
    assert (first.name, second.name) == ("acme", "beta")
    assert (first.profile, second.profile) == (profile, Profile())
    assert [secret.sealed for secret in first.secrets] == [seal(first.secrets[0].secret_id)]
    with pytest.raises(Conflict):
        await table.add("acme", Profile(), NOW, seal)


async def test_rotation(table: OperatorTable) -> None:
    """The old one gets its end, which a later rotation never puts off; retiring keeps the newest."""
    await table.add("acme", Profile(), NOW, seal)
    assert await rotate(table) == 0
    assert await rotate(table, NOW + timedelta(days=1)) == 0
    old, middle, newest = (await table.load())[0].secrets
    assert (old.retire_at, middle.retire_at, newest.retire_at) == (LATER, LATER + timedelta(days=1), None)
    assert await table.retire_all_but_newest("acme", NOW + timedelta(days=2)) == 2
    assert await table.retire_all_but_newest("acme", NOW + timedelta(days=2)) == 0
    assert await rotate(table, NOW + timedelta(days=3), at_once=True) == 1
    live = [secret.is_live(NOW + timedelta(days=3)) for secret in (await table.load())[0].secrets]
    assert live == [False, False, False, True]


async def test_live_secrets_are_bounded_also_at_once(table: OperatorTable) -> None:
    """Ten rotations at the same moment wait for each other; the bound holds."""
    await table.add("acme", Profile(), NOW, seal)
    done = await asyncio.gather(*(rotate(table) for _ in range(10)), return_exceptions=True)
    assert [type(one) for one in done].count(Conflict) == 7
    assert len((await table.load())[0].secrets) == 4


async def test_unknown_operators(table: OperatorTable) -> None:
    """Nobody rotates what is not there, nor the cashier."""
    for name in ("nobody", "cashier"):
        with pytest.raises(NotFound):
            await table.add_secret(name, NOW, seal, retire_others_at=NOW, max_live=4)
        with pytest.raises(NotFound):
            await table.retire_all_but_newest(name, NOW)


async def test_uses_never_go_back(table: OperatorTable) -> None:
    """Two workers write at different moments; the latest stays."""
    await table.add("acme", Profile(), NOW, seal)
    (secret,) = (await table.load())[0].secrets
    await table.note_uses({secret.secret_id: "X-Securty-Hash"}, LATER)
    await table.note_uses({secret.secret_id: "X-Security-Hash"}, NOW)
    (used,) = (await table.load())[0].secrets
    assert (used.last_used_at, used.last_header) == (LATER, "X-Securty-Hash")


async def test_a_profile_is_replaced(table: OperatorTable) -> None:
    """Whole, and for operators that are there."""
    await table.add("acme", Profile(altered_replay="refuse"), NOW, seal)
    await table.set_profile("acme", Profile(bet_timeout=2.0))
    assert (await table.load())[0].profile == Profile(bet_timeout=2.0)
    for name in ("nobody", "cashier"):
        with pytest.raises(NotFound):
            await table.set_profile(name, Profile())


async def test_the_application_cannot_rewrite_a_secret(pool: asyncpg.Pool, table: OperatorTable) -> None:
    """Least privilege: a stolen login of the application cannot put its own secret in another's place."""
    await table.add("acme", Profile(), NOW, seal)
    for statement in (
        "UPDATE operator_secret SET sealed = 'x'",
        "DELETE FROM operator_secret",
        "DELETE FROM operator",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_a_database_that_is_away_is_unavailable(pool: asyncpg.Pool, table: OperatorTable) -> None:
    """One error for callers, that says to try again."""
    await pool.close()
    with pytest.raises(Unavailable):
        await table.load()
