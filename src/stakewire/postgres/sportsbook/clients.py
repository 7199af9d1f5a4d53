"""Clients, their sealed secrets, and the acts of the people who keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from stakewire.errors import Conflict
from stakewire.postgres.queries import Queries

_SQL = Queries("stakewire.postgres.sportsbook", "queries/clients.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClient:
    """What is stored of a client when it is added; the password only as its hash."""

    name: str
    username: str
    password_hash: str
    callback_url: str
    origins: Sequence[str]
    currencies: Sequence[str]
    profile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRow:
    """A client as stored, with the sealed secret that signs for it now. `profile` is TOML text."""

    id: int
    name: str
    username: str
    callback_url: str
    origins: tuple[str, ...]
    currencies: tuple[str, ...]
    profile: str
    state: str
    created_at: datetime
    secret_id: int
    secret_sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientChange:
    """Fields to change; None leaves one as it is."""

    callback_url: str | None = None
    origins: Sequence[str] | None = None
    currencies: Sequence[str] | None = None
    profile: str | None = None
    state: str | None = None
    password_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    client_id: int
    name: str
    password_hash: str
    active: bool


async def take_writer(conn: Any, purpose: str, now: datetime) -> int:
    """Take a writer number for `ids.OwnIds`; no other process has or will have it."""
    number: int = await conn.fetchval(_SQL.take_writer, purpose, now)
    return number


async def add_client(conn: Any, client: NewClient, now: datetime) -> int:
    """Store a client and return its id; its first secret follows in the same transaction.

    Raises:
        Conflict: a client has this name already.
    """
    try:
        client_id: int = await conn.fetchval(
            _SQL.add_client,
            client.name,
            client.username,
            client.password_hash,
            client.callback_url,
            list(client.origins),
            list(client.currencies),
            client.profile,
            now,
        )
    except asyncpg.UniqueViolationError:
        raise Conflict(
            f"there is a client named {client.name} already; change it with `client set` or `client rotate`",
            code="CLIENT_EXISTS",
        ) from None
    return client_id


async def set_client(conn: Any, client_id: int, change: ClientChange, now: datetime) -> None:
    await conn.execute(
        _SQL.set_client,
        client_id,
        change.callback_url,
        None if change.origins is None else list(change.origins),
        None if change.currencies is None else list(change.currencies),
        change.profile,
        change.state,
        change.password_hash,
        now,
    )


async def add_secret(
    conn: Any, client_id: int, sealed: bytes, *, signs_from: datetime, now: datetime
) -> None:
    """Store a security hash, sealed; it signs from `signs_from` on."""
    await conn.execute(_SQL.add_secret, client_id, sealed, signs_from, now)


async def list_clients(conn: Any, now: datetime) -> list[ClientRow]:
    """All clients by name, each with the secret that signs at `now`."""
    return [_client(row) for row in await conn.fetch(_SQL.list_clients, now)]


async def find_credentials(conn: Any, username: str) -> Credentials | None:
    row = await conn.fetchrow(_SQL.find_credentials, username)
    if row is None:
        return None
    return Credentials(row["id"], row["name"], row["password_hash"], row["state"] == "active")


async def record_act(conn: Any, act: str, subject: str, detail: Mapping[str, object], now: datetime) -> None:
    """Keep for ever who was changed and how; `detail` must not hold secrets."""
    await conn.execute(_SQL.record_act, act, subject, json.dumps(detail), now)


async def record_public_url(conn: Any, url: str, now: datetime) -> None:
    """Keep where the sportsbook is reached, for those who add clients from a shell; the last one counts."""
    await conn.execute(_SQL.record_public_url, url, now)


async def public_url(conn: Any) -> str | None:
    """Where the sportsbook that was started last is reached; None before the first start."""
    url: str | None = await conn.fetchval(_SQL.public_url)
    return url


def _client(row: Any) -> ClientRow:
    return ClientRow(
        id=row["id"],
        name=row["name"],
        username=row["username"],
        callback_url=row["callback_url"],
        origins=tuple(row["origins"]),
        currencies=tuple(row["currencies"]),
        profile=row["profile"],
        state=row["state"],
        created_at=row["created_at"],
        secret_id=row["secret_id"],
        secret_sealed=row["secret_sealed"],
    )
