"""Players, their standing and their limits: acts that are done once per id, and kept for ever.

Whatever stands against a bet changes in a transaction that also changes the version of the player's
accounts: a committer that decided from an older copy cannot write its decision any more.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from stakewire.errors import Conflict, InvalidInput, NotFound
from stakewire.ids import OwnIds, slot_of
from stakewire.ledger.limits import Calendar, used_minor
from stakewire.ledger.types import AccountState, LimitKind, Period, Status
from stakewire.postgres.queries import Queries
from stakewire.postgres.wallet.encode import players_of
from stakewire.postgres.wallet.store import QUERIES as LEDGER_QUERIES

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

QUERIES: Final = Queries("stakewire.postgres.wallet.queries", "players.sql")


@dataclass(frozen=True, slots=True)
class LimitView:
    """A limit and what of it is used in the running period, in minor units; negative after a win."""

    kind: LimitKind
    period: Period
    amount_minor: int
    used_minor: int


@dataclass(frozen=True, slots=True)
class AccountView:
    """One currency of a player; a negative balance is a debt left by a rolled-back result."""

    currency: str
    balance_minor: int
    limits: tuple[LimitView, ...]


@dataclass(frozen=True, slots=True)
class PlayerView:
    """A player as the wallet knows it; accounts by currency."""

    user_id: str
    status: Status
    excluded_until: datetime | None
    accounts: tuple[AccountView, ...]


@dataclass(frozen=True, slots=True)
class _Held:
    """A player whose row is locked."""

    conn: Any
    player_id: int
    slot: int
    status: Status
    excluded_until: datetime | None


class PlayerStore:
    """Acts on players. Each takes an `act_id`: sent twice, done once; used for another act, Conflict."""

    def __init__(self, pool: Pool, ids: OwnIds, calendar: Calendar) -> None:
        self._pool = pool
        self._ids = ids
        self._calendar = calendar

    async def add(
        self, user_id: str, currency: str, *, act_id: str, at: datetime, deposit_minor: int | None = None
    ) -> bool:
        """Make a player with an account in `currency`, or a further account of a known player.

        Returns False if the account was there already. The currency's code was checked by the caller, who
        also pays in `deposit_minor`; here it only belongs to what the act is.

        Raises:
            Conflict: the id was used for another act, another first deposit included.
        """
        slot = slot_of(user_id)
        detail = {"currency": currency, "deposit": None if deposit_minor is None else str(deposit_minor)}
        async with self._pool.acquire() as conn, conn.transaction():
            if await self._done_before(conn, act_id, "add", user_id, detail):
                return False
            await conn.execute(QUERIES.add_player, self._ids.next(), slot, user_id, at)
            player = await conn.fetchrow(QUERIES.lock_player, user_id, slot)
            assert player is not None, "the row was there, or was made just now"
            opened = await conn.fetchval(
                QUERIES.add_account, self._ids.next(), slot, player["id"], currency, at
            )
            await self._record(conn, act_id, "add", user_id, detail, at)
            return opened is not None

    async def set_status(self, user_id: str, status: Status, *, act_id: str, at: datetime) -> None:
        """Block, unblock (ACTIVE) or close. Never touches a self-exclusion.

        Raises:
            NotFound: no such player.
            Conflict: the player is closed, which is final.
        """
        async with self._act(user_id, act_id, "status", {"status": status.value}, at) as held:
            if held is None or held.status is status:
                return
            if held.status is Status.CLOSED:
                raise Conflict(f"player {user_id!r} is closed, and stays so", code="PLAYER_CLOSED")
            await held.conn.execute(QUERIES.set_status, held.player_id, held.slot, status.value)
            await held.conn.execute(QUERIES.bump_accounts, held.player_id, held.slot)

    async def exclude(self, user_id: str, until: datetime, *, act_id: str, at: datetime) -> None:
        """Self-exclude until a moment; a running exclusion can be made longer, never shorter.

        An act that was done stays done, also when its moment has passed.

        Raises:
            InvalidInput: `until` is not in the future.
            NotFound: no such player.
            Conflict: a longer exclusion is running.
        """
        async with self._act(user_id, act_id, "exclude", {"until": until.isoformat()}, at) as held:
            if held is None:
                return
            if until <= at:
                raise InvalidInput(f"an exclusion must end in the future, not at {until.isoformat()}")
            if held.excluded_until == until:
                return
            if held.excluded_until is not None and held.excluded_until > until:
                raise Conflict(
                    f"player {user_id!r} is excluded until {held.excluded_until.isoformat()}; "
                    "an exclusion is never shortened",
                    code="EXCLUSION_RUNNING",
                )
            await held.conn.execute(QUERIES.set_exclusion, held.player_id, held.slot, until)
            await held.conn.execute(QUERIES.bump_accounts, held.player_id, held.slot)

    async def set_limit(
        self,
        user_id: str,
        currency: str,
        kind: LimitKind,
        period: Period,
        amount_minor: int | None,
        *,
        act_id: str,
        at: datetime,
    ) -> None:
        """Set or, with None, remove a limit. What was played in the running period counts at once.

        Raises:
            NotFound: no such player, or no account in this currency.
        """
        detail = {
            "currency": currency,
            "kind": kind.value,
            "per": period.value,
            "amount_minor": None if amount_minor is None else str(amount_minor),
        }
        async with self._act(user_id, act_id, "limit", detail, at) as held:
            if held is None:
                return
            account = await held.conn.fetchrow(QUERIES.lock_account, held.player_id, held.slot, currency)
            if account is None:
                raise NotFound(f"player {user_id!r} has no account in {currency}")
            key = (account["id"], held.slot)
            if amount_minor is None:
                await held.conn.execute(QUERIES.drop_limit, *key, kind.value, period.value)
            else:
                await held.conn.execute(QUERIES.put_limit, *key, kind.value, period.value, str(amount_minor))
            await self._keep_days(held.conn, key, account["limited"], at)

    async def show(self, user_id: str, at: datetime) -> PlayerView:
        """A player with accounts, and limits with their use in the periods running at `at`.

        Raises:
            NotFound: no such player.
        """
        today = self._calendar.day_of(at)
        rows = await self._pool.fetch(
            LEDGER_QUERIES.read_players, [user_id], [slot_of(user_id)], self._calendar.earliest(today)
        )
        for player in players_of(rows):
            accounts = sorted(player.accounts.values(), key=lambda account: account.currency)
            views = tuple(self._view(account, at) for account in accounts)
            return PlayerView(player.user_id, player.status, player.excluded_until, views)
        raise NotFound(f"no player {user_id!r}")

    def _view(self, account: AccountState, at: datetime) -> AccountView:
        today = self._calendar.day_of(at)
        limits = tuple(
            LimitView(
                limit.kind,
                limit.period,
                limit.amount_minor,
                used_minor(account, limit.kind, self._calendar.start(limit.period, today)),
            )
            for limit in account.limits
        )
        return AccountView(account.currency, account.balance, limits)

    async def _keep_days(self, conn: Any, key: tuple[int, int], limited: bool, at: datetime) -> None:
        """Days are counted from an account's first limit on, and forgotten with its last."""
        wanted = await conn.fetchval(QUERIES.has_limits, *key)
        if wanted and not limited:
            since = self._calendar.earliest(self._calendar.day_of(at))
            await conn.execute(QUERIES.forget_days, *key)
            await conn.execute(QUERIES.count_days, *key, since, self._calendar.zone_name)
        elif limited and not wanted:
            await conn.execute(QUERIES.forget_days, *key)
        await conn.execute(QUERIES.set_limited, *key, wanted)

    @asynccontextmanager
    async def _act(
        self, user_id: str, act_id: str, kind: str, detail: dict[str, Any], at: datetime
    ) -> AsyncIterator[_Held | None]:
        """A transaction for one act on a locked player; None when this act was done before."""
        async with self._pool.acquire() as conn, conn.transaction():
            row = await conn.fetchrow(QUERIES.lock_player, user_id, slot_of(user_id))
            if row is None:
                raise NotFound(f"no player {user_id!r}")
            if await self._done_before(conn, act_id, kind, user_id, detail):
                yield None
                return
            yield _Held(conn, row["id"], row["slot"], Status(row["status"]), row["excluded_until"])
            await self._record(conn, act_id, kind, user_id, detail, at)

    @staticmethod
    async def _done_before(conn: Any, act_id: str, kind: str, user_id: str, detail: dict[str, Any]) -> bool:
        row = await conn.fetchrow(QUERIES.find_act, act_id)
        if row is None:
            return False
        if (row["kind"], row["user_id"], json.loads(row["detail"])) != (kind, user_id, detail):
            raise Conflict(f"the id {act_id!r} was used for another act; use a new one", code="ID_REUSED")
        return True

    @staticmethod
    async def _record(
        conn: Any, act_id: str, kind: str, user_id: str, detail: dict[str, Any], at: datetime
    ) -> None:
        try:
            await conn.execute(
                QUERIES.record_act, act_id, kind, user_id, slot_of(user_id), json.dumps(detail), at
            )
        except asyncpg.UniqueViolationError:
            raise Conflict(
                f"the id {act_id!r} is being used at this moment; send the same request again",
                code="ID_IN_USE",
            ) from None
