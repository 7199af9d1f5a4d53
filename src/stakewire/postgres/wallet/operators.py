"""The operators and their sealed secrets in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import asyncpg

from stakewire.errors import Conflict, NotFound
from stakewire.postgres.queries import Queries
from stakewire.postgres.wallet.faults import available
from stakewire.wire.sportsbook.profile import Profile

_SQL = Queries("stakewire.postgres.wallet", "queries/operators.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRow:
    """A secret as stored: sealed, and when it lives."""

    secret_id: int
    sealed: bytes
    created_at: datetime
    retire_at: datetime | None
    retired_at: datetime | None
    last_used_at: datetime | None
    last_header: str | None  # the header's name that its last signature came under

    def is_live(self, now: datetime) -> bool:
        """Whether a signature made with it is accepted at `now`."""
        return self.retired_at is None and (self.retire_at is None or now < self.retire_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """An operator as stored, with its secrets, oldest first."""

    operator_id: int
    name: str
    profile: Profile
    created_at: datetime
    secrets: tuple[SecretRow, ...]


class OperatorTable:
    """Reads and changes of the operators; each change is one transaction.

    Every method raises Unavailable when the database is away.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def load(self) -> list[OperatorRow]:
        """Every operator but the cashier, by name."""
        async with self._connection() as conn:
            rows = await conn.fetch(_SQL.load_operators)
        return [_operator(list(group)) for _, group in groupby(rows, key=lambda row: row["id"])]

    async def add(self, name: str, profile: Profile, at: datetime, seal: Callable[[int], bytes]) -> None:
        """Insert an operator and its first secret. Raises Conflict when the name is taken."""
        async with self._transaction() as conn:
            try:
                operator_id = await conn.fetchval(_SQL.insert_operator, name, _to_toml(profile), at)
            except asyncpg.UniqueViolationError:
                raise Conflict(
                    f"operator {name!r} exists; `operator rotate` gives it a new security hash"
                ) from None
            await self._insert_secret(conn, operator_id, at, seal)

    async def set_profile(self, name: str, profile: Profile) -> None:
        """Put `profile` in the place of the operator's present one. Raises NotFound."""
        async with self._transaction() as conn:
            await conn.execute(_SQL.set_profile, await self._lock(conn, name), _to_toml(profile))

    async def add_secret(
        self,
        name: str,
        at: datetime,
        seal: Callable[[int], bytes],
        *,
        retire_others_at: datetime,
        max_live: int,
    ) -> int:
        """Insert a secret; the other live ones end at `retire_others_at`, or earlier if that was said before.

        Returns how many others end at once. Raises NotFound; Conflict when `max_live` would be passed.
        """
        async with self._transaction() as conn:
            operator_id = await self._lock(conn, name)
            others = [row["id"] for row in await conn.fetch(_SQL.live_secrets, operator_id, at)]
            at_once = retire_others_at <= at
            if not at_once and len(others) >= max_live:
                raise Conflict(
                    f"operator {name!r} has {len(others)} live security hashes; retire the old ones first"
                )
            await self._insert_secret(conn, operator_id, at, seal)
            await conn.execute(_SQL.retire_now if at_once else _SQL.retire_later, others, retire_others_at)
            return len(others) if at_once else 0

    async def retire_all_but_newest(self, name: str, at: datetime) -> int:
        """End every live secret but the newest; returns how many there were. Raises NotFound."""
        async with self._transaction() as conn:
            operator_id = await self._lock(conn, name)
            _, *old = [row["id"] for row in await conn.fetch(_SQL.live_secrets, operator_id, at)] or [0]
            await conn.execute(_SQL.retire_now, old, at)
            return len(old)

    async def note_uses(self, headers: Mapping[int, str], at: datetime) -> None:
        """Remember that requests were signed with these secrets up to `at`, the last under these headers."""
        async with self._connection() as conn:
            await conn.execute(_SQL.note_uses, list(headers), list(headers.values()), at)

    async def _lock(self, conn: Any, name: str) -> int:
        operator_id = await conn.fetchval(_SQL.lock_operator, name)
        if operator_id is None:
            raise NotFound(f"no operator {name!r}; `stakewire wallet operator list` shows them")
        return int(operator_id)

    async def _insert_secret(
        self, conn: Any, operator_id: int, at: datetime, seal: Callable[[int], bytes]
    ) -> None:
        secret_id = await conn.fetchval(_SQL.next_secret_id)
        await conn.execute(_SQL.insert_secret, secret_id, operator_id, seal(secret_id), at)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with available():
            async with self._pool.acquire() as conn:
                yield conn

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        async with self._connection() as conn, conn.transaction():
            yield conn


def _operator(rows: list[Any]) -> OperatorRow:
    first = rows[0]
    secrets = tuple(
        SecretRow(
            secret_id=row["secret_id"],
            sealed=row["sealed"],
            created_at=row["secret_created_at"],
            retire_at=row["retire_at"],
            retired_at=row["retired_at"],
            last_used_at=row["last_used_at"],
            last_header=row["last_header"],
        )
        for row in rows
        if row["secret_id"] is not None
    )
    return OperatorRow(
        operator_id=first["id"],
        name=first["name"],
        profile=Profile.from_toml(first["profile"]),
        created_at=first["created_at"],
        secrets=secrets,
    )


def _to_toml(profile: Profile) -> str:
    """Only what differs from the defaults, so that a better default of a later version is used.

    Every value is a text, a number or a list of them, which JSON and TOML write alike.
    """
    default = Profile().as_mapping()
    return "".join(
        f"{key} = {json.dumps(value)}\n"
        for key, value in profile.as_mapping().items()
        if value != default[key]
    )
