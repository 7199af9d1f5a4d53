"""API tokens, launch tokens and page sessions: only their SHA-256 is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stakewire.postgres.queries import Queries

_SQL = Queries("stakewire.postgres.sportsbook", "queries/sessions.sql")
_EXPIRED = ("drop_expired_api_tokens", "drop_expired_launch_tokens", "drop_expired_page_sessions")


@dataclass(frozen=True, slots=True)
class Visit:
    """Who opens the page, for which client, in which one currency."""

    client_id: int
    user_id: str
    currency: str
    lang: str


async def add_api_token(conn: Any, token_hash: bytes, client_id: int, expires_at: datetime) -> None:
    await conn.execute(_SQL.add_api_token, token_hash, client_id, expires_at)


async def find_api_token(conn: Any, token_hash: bytes, now: datetime) -> int | None:
    """The client of a token that has not expired."""
    row = await conn.fetchrow(_SQL.find_api_token, token_hash, now)
    return None if row is None else row["client_id"]


async def drop_access(conn: Any, client_id: int, *, sessions: bool) -> None:
    """End the client's API tokens, and with `sessions` its players' page sessions too."""
    await conn.execute(_SQL.drop_api_tokens, client_id)
    if sessions:
        await conn.execute(_SQL.drop_client_sessions, client_id)


async def add_launch_token(conn: Any, token_hash: bytes, visit: Visit, expires_at: datetime) -> None:
    await conn.execute(
        _SQL.add_launch_token,
        token_hash,
        visit.client_id,
        visit.user_id,
        visit.currency,
        visit.lang,
        expires_at,
    )


async def use_launch_token(conn: Any, token_hash: bytes, now: datetime) -> Visit | None:
    """Take the token out of the world; None if it is unknown, used or expired."""
    return _visit(await conn.fetchrow(_SQL.use_launch_token, token_hash, now))


async def add_page_session(
    conn: Any, token_hash: bytes, visit: Visit, *, started_at: datetime, expires_at: datetime
) -> None:
    await conn.execute(
        _SQL.add_page_session,
        token_hash,
        visit.client_id,
        visit.user_id,
        visit.currency,
        visit.lang,
        started_at,
        expires_at,
    )


async def find_page_session(conn: Any, token_hash: bytes, now: datetime) -> tuple[Visit, datetime] | None:
    """Who this session belongs to and when it ends; None once it has expired."""
    row = await conn.fetchrow(_SQL.find_page_session, token_hash, now)
    visit = _visit(row)
    return None if visit is None else (visit, row["expires_at"])


async def drop_expired(conn: Any, now: datetime, *, limit: int) -> None:
    """Delete up to `limit` expired rows of each kind, so that none of the tables grows for ever."""
    for name in _EXPIRED:
        await conn.execute(_SQL[name], now, limit)


def _visit(row: Any) -> Visit | None:
    return None if row is None else Visit(row["client_id"], row["user_id"], row["currency"], row["lang"])
