"""Ids of our own: every process leases a writer number once and counts from there."""

from __future__ import annotations

from typing import Any

from stakewire.clock import Clock
from stakewire.ids import OwnIds
from stakewire.postgres.sportsbook.clients import take_writer


async def lease_ids(pool: Any, purpose: str, clock: Clock) -> OwnIds:
    """Ids that no other process makes; `purpose` is kept beside the number, for people."""
    async with pool.acquire() as conn:
        return OwnIds(await take_writer(conn, purpose, clock.now()))
