"""Bets of players: written pending, decided once, found again by their slip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from stakewire.betting.bets import BetState
from stakewire.betting.markets import Market, Score
from stakewire.postgres.queries import Queries

_SQL = Queries("stakewire.postgres.sportsbook", "queries/bets.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBet:
    """A bet before its stake is asked for. `stake_minor` counts minor units of `currency`."""

    id: int
    slot: int
    client_id: int
    user_id: str
    currency: str
    match_id: int
    outcome_id: int
    stake_minor: int
    odds: Decimal
    slip_id: UUID
    placed_at: datetime
    answer_by: datetime


@dataclass(frozen=True, slots=True)
class KnownSlip:
    """What a slip id stands for already."""

    bet_id: int
    outcome_id: int
    stake_minor: int
    odds: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Offer:
    """An outcome as it can be bet on now, or no longer."""

    outcome_id: int
    match_id: int
    odds: Decimal
    active: bool
    kickoff: datetime
    scheduled: bool


@dataclass(frozen=True, slots=True)
class OverdueBet:
    """A bet whose answer can no longer come in time."""

    id: int
    slot: int
    client_id: int
    user_id: str
    currency: str
    stake_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BetRow:
    """A bet with the match it is on, as its player sees it."""

    id: int
    slip_id: UUID
    client_id: int
    user_id: str
    currency: str
    stake_minor: int
    odds: Decimal
    state: BetState
    refusal: str | None
    payout_minor: int | None
    stake_returned: bool
    placed_at: datetime
    changed_at: datetime
    market: Market
    outcome: str
    match_id: int
    league: str
    home: str
    away: str
    kickoff: datetime
    match_state: str
    score: Score | None
    simulated: bool


@dataclass(frozen=True, slots=True)
class OpenMoney:
    """What bets without a result hold and could pay, in minor units."""

    currency: str
    bets: int
    stakes_minor: int
    payouts_minor: int


async def find_slip(conn: Any, client_id: int, user_id: str, slip_id: UUID, slot: int) -> KnownSlip | None:
    row = await conn.fetchrow(_SQL.find_slip, client_id, user_id, slip_id, slot)
    if row is None:
        return None
    return KnownSlip(row["id"], row["outcome_id"], int(row["stake"]), row["odds"], row["currency"])


async def find_offer(conn: Any, outcome_id: int) -> Offer | None:
    """Read an outcome and hold off rulings on its match until the transaction ends."""
    row = await conn.fetchrow(_SQL.find_offer, outcome_id)
    if row is None:
        return None
    return Offer(
        row["id"], row["match_id"], row["odds"], row["active"], row["kickoff"], row["state"] == "scheduled"
    )


async def add_bet(conn: Any, bet: NewBet) -> None:
    """Store a pending bet; its callback is queued in the same transaction.

    Raises:
        asyncpg.UniqueViolationError: the slip was sent twice at once, and the other one won.
    """
    await conn.execute(
        _SQL.add_bet,
        bet.id,
        bet.slot,
        bet.client_id,
        bet.user_id,
        bet.currency,
        bet.match_id,
        bet.outcome_id,
        bet.stake_minor,
        bet.odds,
        bet.slip_id,
        bet.placed_at,
        bet.answer_by,
    )


async def accept_bet(conn: Any, bet_id: int, slot: int, now: datetime) -> bool:
    """Return whether the bet was still pending; if not, its answer came too late and changes nothing."""
    return await conn.fetchval(_SQL.accept_bet, bet_id, slot, now) is not None


async def refuse_bet(
    conn: Any, bet_id: int, slot: int, refusal: str, *, stake_returned: bool, now: datetime
) -> bool:
    """Return whether the bet was still pending. `stake_returned` says that its rollback is queued."""
    return await conn.fetchval(_SQL.refuse_bet, bet_id, slot, refusal, stake_returned, now) is not None


async def lock_overdue(conn: Any, now: datetime, *, limit: int) -> list[OverdueBet]:
    rows = await conn.fetch(_SQL.overdue_bets, now, limit)
    return [
        OverdueBet(
            row["id"],
            row["slot"],
            row["client_id"],
            row["user_id"],
            row["currency"],
            int(row["stake"]),
        )
        for row in rows
    ]


async def refuse_overdue(conn: Any, bets: Sequence[OverdueBet], now: datetime) -> None:
    """Refuse locked bets as unknown; their rollbacks are queued in the same transaction."""
    refused = await conn.fetch(
        _SQL.refuse_overdue_bets, [bet.id for bet in bets], [bet.slot for bet in bets], now
    )
    if len(refused) != len(bets):
        raise AssertionError("a locked pending bet was decided by somebody else")


async def bets_of_player(
    conn: Any, client_id: int, user_id: str, currency: str, *, limit: int
) -> list[BetRow]:
    """The player's bets in one currency, newest first."""
    rows = await conn.fetch(_SQL.bets_of_player, client_id, user_id, currency, limit)
    return [_bet(row) for row in rows]


async def find_bet(conn: Any, bet_id: int, slot: int) -> BetRow | None:
    row = await conn.fetchrow(_SQL.find_bet, bet_id, slot)
    return None if row is None else _bet(row)


async def changed_bets(
    conn: Any, players: Sequence[tuple[int, str]], since: datetime, *, limit: int
) -> list[BetRow]:
    """Among the `limit` latest bets of each (client id, user id): those that changed after `since`."""
    rows = await conn.fetch(
        _SQL.changed_bets, [player[0] for player in players], [player[1] for player in players], since, limit
    )
    return [_bet(row) for row in rows]


async def money_at_risk(conn: Any) -> list[OpenMoney]:
    rows = await conn.fetch(_SQL.money_at_risk)
    return [OpenMoney(row["currency"], row["bets"], int(row["stakes"]), int(row["payouts"])) for row in rows]


async def oldest_pending(conn: Any) -> datetime | None:
    placed_at: datetime | None = await conn.fetchval(_SQL.oldest_pending)
    return placed_at


def _bet(row: Any) -> BetRow:
    return BetRow(
        id=row["id"],
        slip_id=row["slip_id"],
        client_id=row["client_id"],
        user_id=row["user_id"],
        currency=row["currency"],
        stake_minor=int(row["stake"]),
        odds=row["odds"],
        state=BetState(row["state"]),
        refusal=row["refusal"],
        payout_minor=None if row["payout"] is None else int(row["payout"]),
        stake_returned=row["stake_returned"],
        placed_at=row["placed_at"],
        changed_at=row["changed_at"],
        market=Market(row["market"]),
        outcome=row["outcome"],
        match_id=row["match_id"],
        league=row["league"],
        home=row["home"],
        away=row["away"],
        kickoff=row["kickoff"],
        match_state=row["match_state"],
        score=None if row["home_goals"] is None else Score(row["home_goals"], row["away_goals"]),
        simulated=row["simulated"] is not None,
    )
