"""Ids of admin acts."""

from __future__ import annotations

import asyncpg

from stakewire.postgres.wallet.players import QUERIES


async def is_known_act(pool: asyncpg.Pool[asyncpg.Record], act_id: str) -> bool:
    """Whether an act on a player was done under this id."""
    return await pool.fetchrow(QUERIES.find_act, act_id) is not None
