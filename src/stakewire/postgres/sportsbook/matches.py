"""Matches, their outcomes and odds, and the rulings on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from stakewire.betting.markets import Market, Score
from stakewire.betting.schedule import Fixture
from stakewire.postgres.queries import Queries

_SQL = Queries("stakewire.postgres.sportsbook", "queries/matches.sql")

SourceKey = tuple[str, date, str]
"""League, date in the source file, and home team: what files name a match by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRow:
    """A match as stored: `state` is scheduled, finished or void, `score` is there when finished.

    `ruling` counts the decisions on it (0: none yet).
    """

    id: int
    league: str
    home: str
    away: str
    kickoff: datetime
    state: str
    score: Score | None
    simulated: bool
    ruling: int


@dataclass(frozen=True, slots=True)
class ListedMatch:
    """A match for people at a shell.

    `settled` is false while bets wait for its latest ruling, None while it has none.
    """

    match: MatchRow
    settled: bool | None


@dataclass(frozen=True, slots=True)
class SourceMatch:
    """A match that a file named before."""

    id: int
    away: str
    kickoff: datetime
    state: str
    score: Score | None


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """One outcome on offer, at decimal odds."""

    id: int
    match_id: int
    market: Market
    name: str
    odds: Decimal
    active: bool


async def any_match(conn: Any) -> bool:
    found: bool = await conn.fetchval(_SQL.any_match)
    return found


async def find_sources(conn: Any, keys: Sequence[SourceKey]) -> dict[SourceKey, SourceMatch]:
    """Find and lock the matches with these keys."""
    rows = await conn.fetch(
        _SQL.find_sources, [key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys]
    )
    return {
        (row["league"], row["source_date"], row["home"]): SourceMatch(
            row["id"], row["away"], row["kickoff"], row["state"], _score(row)
        )
        for row in rows
    }


async def add_matches(conn: Any, fixtures: Sequence[Fixture], now: datetime) -> dict[SourceKey, int]:
    """Store matches that are not there yet and return the new ids by key; odds follow by `set_odds`."""
    rows = await conn.fetch(
        _SQL.add_matches,
        [fixture.league for fixture in fixtures],
        [fixture.source_date for fixture in fixtures],
        [fixture.home for fixture in fixtures],
        [fixture.away for fixture in fixtures],
        [fixture.kickoff for fixture in fixtures],
        now,
    )
    return {(row["league"], row["source_date"], row["home"]): row["id"] for row in rows}


async def add_simulated_match(conn: Any, number: int, fixture: Fixture, now: datetime) -> int | None:
    """Store simulated match `number`; None if another process has stored it."""
    match_id: int | None = await conn.fetchval(
        _SQL.add_simulated_match,
        fixture.league,
        fixture.source_date,
        fixture.home,
        fixture.away,
        fixture.kickoff,
        number,
        now,
    )
    return match_id


async def move_kickoffs(conn: Any, kickoffs: Mapping[int, datetime], now: datetime) -> None:
    await conn.execute(_SQL.move_kickoffs, list(kickoffs), list(kickoffs.values()), now)


async def set_odds(conn: Any, offers: Sequence[tuple[int, Market, str, Decimal]]) -> None:
    """Offer outcomes, given as match id, market, name and odds."""
    await conn.execute(
        _SQL.set_odds,
        [offer[0] for offer in offers],
        [offer[1].value for offer in offers],
        [offer[2] for offer in offers],
        [offer[3] for offer in offers],
    )


async def touch_match(conn: Any, match_id: int, now: datetime) -> None:
    await conn.execute(_SQL.touch_match, match_id, now)


async def list_board(
    conn: Any, now: datetime, *, limit: int, started: timedelta, decided: timedelta
) -> list[MatchRow]:
    """Matches to come or started less than `started` ago, and those decided less than `decided` ago."""
    rows = await conn.fetch(_SQL.list_board, now, limit, started, decided)
    return sorted((_match(row) for row in rows), key=lambda match: (match.kickoff, match.id))


async def list_outcomes(conn: Any, match_ids: Sequence[int]) -> list[OutcomeRow]:
    rows = await conn.fetch(_SQL.list_outcomes, list(match_ids))
    return [
        OutcomeRow(row["id"], row["match_id"], Market(row["market"]), row["name"], row["odds"], row["active"])
        for row in rows
    ]


async def list_matches(conn: Any, *, state: str | None, league: str | None, limit: int) -> list[ListedMatch]:
    rows = await conn.fetch(_SQL.list_matches, state, league, limit)
    return [
        ListedMatch(_match(row), row["paid_ruling"] == row["ruling"] if row["ruling"] else None)
        for row in rows
    ]


async def lock_match(conn: Any, match_id: int) -> MatchRow | None:
    """Read a match that is about to be ruled on, after every bet being written on it."""
    row = await conn.fetchrow(_SQL.lock_match, match_id)
    return None if row is None else _match(row)


async def rule_match(
    conn: Any, match: MatchRow, kind: str, score: Score | None, *, reason: str, now: datetime
) -> int | None:
    """Write the next ruling on a locked match and return its number; None if the match moved on.

    `kind` is result, correction or void; a score of None means void.
    """
    home, away = (None, None) if score is None else (score.home, score.away)
    state = "void" if score is None else "finished"
    ruling: int | None = await conn.fetchval(_SQL.rule_match, match.id, match.ruling, state, home, away, now)
    if ruling is not None:
        await conn.execute(_SQL.record_ruling, match.id, ruling, kind, home, away, reason, now)
    return ruling


async def due_simulated(conn: Any, kicked_off_by: datetime, *, limit: int) -> list[int]:
    """Simulated matches that kicked off by then and have no result."""
    return [row["id"] for row in await conn.fetch(_SQL.due_simulated, kicked_off_by, limit)]


async def open_simulated(conn: Any, now: datetime, *, limit: int) -> list[int]:
    """Simulated matches that still take bets, the next one first."""
    return [row["id"] for row in await conn.fetch(_SQL.open_simulated, now, limit)]


def _score(row: Any) -> Score | None:
    return None if row["home_goals"] is None else Score(row["home_goals"], row["away_goals"])


def _match(row: Any) -> MatchRow:
    return MatchRow(
        id=row["id"],
        league=row["league"],
        home=row["home"],
        away=row["away"],
        kickoff=row["kickoff"],
        state=row["state"],
        score=_score(row),
        simulated=row["simulated"] is not None,
        ruling=row["ruling"],
    )
