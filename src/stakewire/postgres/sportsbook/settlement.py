"""Applying a match's ruling to its bets, a chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stakewire.betting.bets import BetState, Ruled, TakenBet
from stakewire.betting.markets import Market, Score
from stakewire.postgres.queries import Queries

_SQL = Queries("stakewire.postgres.sportsbook", "queries/settlement.sql")


@dataclass(frozen=True, slots=True)
class RulingInForce:
    """The latest decision on a match; a score of None means void."""

    number: int
    score: Score | None


@dataclass(frozen=True, slots=True)
class UnruledBet:
    """A locked bet that has not seen the ruling in force."""

    id: int
    slot: int
    client_id: int
    user_id: str
    currency: str
    taken: TakenBet


async def unpaid_matches(conn: Any, *, limit: int) -> list[int]:
    """Matches with bets that wait for a ruling to be applied."""
    return [row["id"] for row in await conn.fetch(_SQL.unpaid_matches, limit)]


async def ruling_in_force(conn: Any, match_id: int) -> RulingInForce | None:
    """The ruling, held in force until the transaction ends; None if none waits to be applied."""
    row = await conn.fetchrow(_SQL.ruling_in_force, match_id)
    if row is None or row["ruling"] == row["paid_ruling"]:
        return None
    score = None if row["state"] == "void" else Score(row["home_goals"], row["away_goals"])
    return RulingInForce(row["ruling"], score)


async def count_unruled(conn: Any, match_id: int, ruling: int) -> int:
    count: int = await conn.fetchval(_SQL.count_unruled, match_id, ruling)
    return count


async def claim_unruled(conn: Any, match_id: int, ruling: int, *, limit: int) -> list[UnruledBet]:
    """Lock up to `limit` bets that have not seen the ruling and that nobody else is dealing with."""
    return [_unruled(row) for row in await conn.fetch(_SQL.claim_unruled, match_id, ruling, limit)]


async def apply_ruling(
    conn: Any, bets: Sequence[UnruledBet], ruled: Sequence[Ruled], *, ruling: int, now: datetime
) -> None:
    """Write what each locked bet became.

    Raises:
        AssertionError: a row was not as it was read; the transaction must not be committed.
    """
    status: str = await conn.execute(
        _SQL.apply_ruling,
        [bet.id for bet in bets],
        [bet.slot for bet in bets],
        [after.state.value for after in ruled],
        [after.payout_minor for after in ruled],
        [after.results_sent for after in ruled],
        ruling,
        now,
    )
    if status != f"UPDATE {len(bets)}":
        raise AssertionError(f"{len(bets)} locked bets were to be ruled on, but: {status}")


async def close_ruling(conn: Any, match_id: int, ruling: int) -> bool:
    """Mark the ruling as applied to every bet; False while some are left."""
    return await conn.fetchval(_SQL.close_ruling, match_id, ruling) is not None


async def close_rulings(conn: Any) -> None:
    """Mark all rulings that every bet on their match has seen, those without any bets among them."""
    await conn.execute(_SQL.close_rulings)


def _unruled(row: Any) -> UnruledBet:
    return UnruledBet(
        row["id"],
        row["slot"],
        row["client_id"],
        row["user_id"],
        row["currency"],
        TakenBet(
            BetState(row["state"]),
            Market(row["market"]),
            row["outcome"],
            int(row["stake"]),
            row["odds"],
            None if row["payout"] is None else int(row["payout"]),
            row["results_sent"],
        ),
    )
