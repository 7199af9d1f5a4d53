"""Files of fixtures and results into the database, and the demo's own matches."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.integration.sportsbook.conftest import NewSportsbook, World

from stakewire.betting.bets import BetState
from stakewire.errors import StakewireError
from stakewire.money import Currencies
from stakewire.postgres.sportsbook.matches import list_matches
from stakewire.sportsbook.importer import FixturesImported, ResultsImported
from stakewire.sportsbook.settlement import Settler
from stakewire.sportsbook.simulation import Simulation

FIXTURES = """league,kickoff_utc,home_team,away_team,market_average_home_win,market_average_draw,\
market_average_away_win,market_average_over_2.5,market_average_under_2.5
XX1,2020-08-11 19:00:00+00:00,Anchor Vale,Brightwater,9.02,5.35,1.35,1.65,2.27
XX1,2020-08-12 11:30:00+00:00,Copper Hill,Dunmarsh,1.18,7.64,15.67,1.42,2.85
XX1,2020-08-12 14:00:00+00:00,Broken,Row,1.18,,15.67,1.42,2.85
XX2,2020-08-13 14:00:00+00:00,Copper Hill,Dunmarsh,2.1,3.1,3.1,,
"""
RESULTS = """league,season,Date,HomeTeam,AwayTeam,FTHG,FTAG,FTR
XX1,2020-21,2020-08-11,Anchor Vale,Brightwater,0,3,A
XX1,2020-21,2020-08-12,Copper Hill,Dunmarsh,2,2,D
XX1,2020-21,2020-08-12,Copper Hill,Dunmarsh,2,2,D
XX1,2020-21,2020-08-13,Copper Hill,Dunmarsh,1,1,D
XX2,2020-21,2020-08-13,Copper Hill,Eastlight,1,1,D
"""


async def load(world: World, text: str, *, from_now: bool = True) -> FixturesImported | ResultsImported:
    start = world.clock.now() + timedelta(hours=1) if from_now else None
    return await world.book.importer.load(text.encode(), kickoff_from=start)


async def matches(world: World) -> dict[tuple[str, str], object]:
    async with world.book.pool.acquire() as conn:
        listed = await list_matches(conn, state=None, league=None, limit=100)
    return {(row.match.league, row.match.home): row.match for row in listed}


async def test_fixtures_are_imported_and_a_bad_row_is_named(world: World) -> None:
    """Three matches with exact prices; the broken row is line 4."""
    report = await load(world, FIXTURES)
    assert isinstance(report, FixturesImported)
    assert (report.rows, report.added, [bad.line for bad in report.skipped]) == (4, 3, [4])
    shown = {match["home"]: match for match in await world.book.board.matches()}
    assert [o["odds"] for o in shown["Anchor Vale"]["markets"][0]["outcomes"]] == ["9.02", "5.35", "1.35"]
    assert shown["Anchor Vale"]["kickoff"] == "2026-01-01T13:00:00Z"


async def test_importing_again_moves_odds_and_adds_nothing(world: World) -> None:
    """The same rows are the same matches; bets keep the odds they were taken at."""
    await load(world, FIXTURES)
    match_id = int((await world.book.board.matches())[0]["id"])
    session = await world.session()
    bet = await world.bet(session, match_id)
    report = await load(world, FIXTURES.replace("9.02", "8.88"))
    assert isinstance(report, FixturesImported)
    assert (report.added, report.updated, report.unchanged) == (0, 3, 0)
    assert (await world.outcome(match_id)).odds == Decimal("8.88")
    assert bet.odds == Decimal("9.02")


async def test_a_past_season_without_shift_takes_no_bets(world: World) -> None:
    """Imported as it was, it has kicked off; the report says so."""
    report = await load(world, FIXTURES, from_now=False)
    assert isinstance(report, FixturesImported)
    assert report.started == 3
    assert await world.book.board.matches() == []


async def test_results_settle_the_bets_of_the_matches_they_name(world: World) -> None:
    """Joined on league, date in the file and home team; rows that fit no match are counted."""
    await load(world, FIXTURES)
    match_id = int((await world.book.board.matches())[0]["id"])
    session = await world.session()
    await world.bet(session, match_id, "2", "10")
    report = await load(world, RESULTS, from_now=False)
    assert isinstance(report, ResultsImported)
    assert (report.results, report.unknown) == (2, 1)
    assert [bad.line for bad in report.skipped] == [4, 6]
    assert "not Eastlight" in report.skipped[1].reason
    settler = Settler(world.book.pool, ids=world.ids, currencies=Currencies.default(), clock=world.clock)
    assert (await settler.settle_all()).bets == 1
    (bet,) = await world.bets.of_player(session)
    assert (bet.state, bet.payout_minor) == (BetState.WON, 1350)


async def test_results_again_change_nothing_and_others_are_named(world: World) -> None:
    """A different score for a match that has one is a correction, which a file does not make."""
    await load(world, FIXTURES)
    await load(world, RESULTS)
    again = await load(world, RESULTS)
    assert isinstance(again, ResultsImported)
    assert (again.results, again.unchanged) == (0, 2)
    changed = await load(world, RESULTS.replace("Brightwater,0,3,A", "Brightwater,1,3,A"))
    assert isinstance(changed, ResultsImported)
    assert "match correct" in changed.skipped[0].reason


async def test_a_file_of_another_kind_is_refused(world: World) -> None:
    """Nothing is imported, and the message says which columns are wanted."""
    with pytest.raises(StakewireError, match="kickoff_utc"):
        await load(world, "a,b\n1,2\n")


async def test_the_own_schedule_can_be_bet_on(world: World) -> None:
    """A machine without files has matches of invented clubs."""
    report = await world.book.importer.load_own_schedule()
    assert (report.added, report.skipped, report.started) == (24, [], 0)
    assert (await world.bet(await world.session(), int((await world.book.board.matches())[0]["id"]))).id


async def test_simulated_matches_are_offered_played_and_ended(world: World) -> None:
    """Ten ahead, one kick-off each interval; ended after their time with a score or void, and marked."""
    simulation = Simulation(
        world.book.pool,
        world.book.rulings,
        clock=world.clock,
        rng=random.Random(3),
        interval=timedelta(seconds=90),
        duration=timedelta(minutes=3),
    )
    assert not await simulation.step()
    first = await world.book.board.matches()
    assert len(first) == 10
    assert all(match["simulated"] for match in first)
    world.clock.advance(90)
    assert not await simulation.step()
    assert [match["state"] for match in await world.book.board.matches()].count("live") == 1
    ended = 0
    for _ in range(60):
        world.clock.advance(90)
        ended += await simulation.step()
    assert ended == 59
    states = await world.book.pool.fetch("SELECT state, count(*) FROM match GROUP BY state")
    count = {row["state"]: row["count"] for row in states}
    assert count["scheduled"] == 12, "ten ahead and two being played"
    assert count["void"] >= 1
    assert count["finished"] + count["void"] == ended


async def test_two_processes_simulating_make_the_same_matches(world: World) -> None:
    """A match number is one match, whoever writes it first."""
    pair = [
        Simulation(
            world.book.pool,
            world.book.rulings,
            clock=world.clock,
            rng=random.Random(seed),
            interval=timedelta(seconds=90),
            duration=timedelta(minutes=3),
        )
        for seed in (1, 2)
    ]
    for _ in range(5):
        for one in pair:
            await one.step()
        world.clock.advance(90)
    assert await world.book.pool.fetchval("SELECT count(*) = count(DISTINCT simulated) FROM match")
    assert await world.book.pool.fetchval("SELECT count(*) FROM match") == 14


async def test_two_imports_at_once_add_each_match_once(world: World, new_sportsbook: NewSportsbook) -> None:
    """Two processes that start on an empty database both bring the own schedule; it is there once."""
    other = await new_sportsbook()
    reports = await asyncio.gather(
        *(place.book.importer.load_own_schedule() for place in (world, other, world, other))
    )
    assert sum(report.added for report in reports) == 24
    assert await world.book.pool.fetchval("SELECT count(*) FROM match") == 24
