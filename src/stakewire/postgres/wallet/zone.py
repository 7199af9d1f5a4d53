"""The zone of the players' limits: a fact of the ledger, not of the process that happens to look at it.

Days are counted once and kept (`wallet.account_day`), so two processes with two zones would count two
different days into one row. The first that writes fixes the zone; every later one takes it from here.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from stakewire.errors import ConfigError
from stakewire.ledger.limits import Calendar
from stakewire.postgres.queries import Queries

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

DEFAULT: Final = "UTC"
QUERIES: Final = Queries("stakewire.postgres.wallet.queries", "zone.sql")


async def fix_calendar(pool: Pool, wanted: str | None, at: datetime) -> Calendar:
    """The ledger's calendar; on its first use the zone becomes `wanted`, or UTC, for good.

    Raises:
        ConfigError: the ledger counts its days in another zone than `wanted`, or no such zone is known.
    """
    chosen = Calendar.named(wanted or DEFAULT)
    await pool.execute(QUERIES.fix_zone, chosen.zone_name, at)
    return _agreed(await pool.fetchval(QUERIES.zone), wanted)


async def read_calendar(pool: Pool, wanted: str | None) -> Calendar:
    """The same for who only reads: a ledger that nobody used yet keeps no zone.

    Raises:
        ConfigError: as `fix_calendar`.
    """
    return _agreed(await pool.fetchval(QUERIES.zone) or wanted or DEFAULT, wanted)


def _agreed(kept: str, wanted: str | None) -> Calendar:
    if wanted is not None and wanted != kept:
        raise ConfigError(
            f"this ledger counts its days in the time zone {kept!r}, not in {wanted!r}, and keeps it: "
            f"leave STAKEWIRE_WALLET_TIME_ZONE (wallet.time_zone) out, or set it to {kept}"
        )
    return Calendar.named(kept)
