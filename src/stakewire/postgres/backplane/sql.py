"""The statements of the backplane, and the one that both of its ends need."""

from __future__ import annotations

from typing import Any

from stakewire.ids import Tokens
from stakewire.postgres.queries import Queries

QUERIES = Queries("stakewire.postgres.backplane", "backplane.sql")

_EPOCH_BYTES = 12


async def make_channel(conn: Any, name: str, tokens: Tokens, *, timeout: float) -> None:
    """Make the hub's row where it is missing: at the first start, and after a crash of the server."""
    await conn.execute(QUERIES["make_channel"], name, tokens.token(_EPOCH_BYTES), timeout=timeout)
