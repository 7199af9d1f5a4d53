"""Rulings reach every bet once, in chunks, whoever dies on the way."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.sportsbook.conftest import NewSportsbook, World

from stakewire.betting.bets import BetState
from stakewire.betting.markets import Score
from stakewire.errors import Conflict, NotFound
from stakewire.money import Currencies
from stakewire.sportsbook.access import PageSession
from stakewire.sportsbook.settlement import Settled, Settler

HOME, AWAY, DRAW = Score(2, 0), Score(0, 1), Score(1, 1)


def settler(world: World, chunk: int = 1000) -> Settler:
    return Settler(
        world.book.pool, ids=world.ids, currencies=Currencies.default(), clock=world.clock, chunk=chunk
    )


async def states(world: World, session: PageSession) -> list[tuple[BetState, int | None]]:
    """The player's bets, oldest first."""
    bets = await world.bets.of_player(session)
    return [(bet.state, bet.payout_minor) for bet in sorted(bets, key=lambda bet: bet.id)]


async def test_a_result_settles_every_market_of_the_match(world: World) -> None:
    """2-0: the home side and under win at their odds, everything else loses with a result of 0."""
    session, match = await world.session(), await world.match()
    bets = [await world.bet(session, match, name) for name in ("1", "X", "2", "over", "under")]
    await world.book.rulings.result(match, HOME)
    assert (await settler(world).settle(match)).bets == 5
    lost = (BetState.LOST, 0)
    assert await states(world, session) == [(BetState.WON, 1000), lost, lost, lost, (BetState.WON, 1025)]
    assert [await world.said(bet.id) for bet in bets[:2]] == [
        [("bet", 500), ("result-1", 1000)],
        [("bet", 500), ("result-1", 0)],
    ]


async def test_chains_of_corrections_send_a_rollback_and_a_new_result_each(world: World) -> None:
    """Won, lost, won again: every result is taken back before the next, in one order."""
    session, match = await world.session(), await world.match()
    bet = await world.bet(session, match)
    for rule_on in (
        world.book.rulings.result(match, HOME),
        world.book.rulings.correct(match, AWAY),
        world.book.rulings.correct(match, Score(3, 1)),
    ):
        await rule_on
        await settler(world).settle(match)
    assert await world.said(bet.id) == [
        ("bet", 500),
        ("result-1", 1000),
        ("rollback-1", 1000),
        ("result-2", 0),
        ("rollback-2", 0),
        ("result-3", 1000),
    ]
    rows = await world.callbacks(bet.id)
    assert rows[2]["target_id"] == rows[1]["transaction_id"]
    assert [row["state"] for row in rows] == ["answered", "due", *["blocked"] * 4]


async def test_a_correction_overtaking_the_first_settlement_skips_it(world: World) -> None:
    """Bets that never saw the wrong result get the right one at once; those that did are corrected."""
    session, match = await world.session(), await world.match()
    bets = [await world.bet(session, match) for _ in range(3)]
    await world.book.rulings.result(match, HOME)
    assert await settler(world, chunk=1).settle_chunk(match) == 1
    await world.book.rulings.correct(match, AWAY)
    assert (await settler(world).settle(match)).bets == 3
    said = sorted([[what for what, _ in await world.said(bet.id)] for bet in bets])
    assert said == [["bet", "result-1"], ["bet", "result-1"], ["bet", "result-1", "rollback-1", "result-2"]]
    assert await states(world, session) == [(BetState.LOST, 0)] * 3


async def test_a_void_after_settlement_undoes_result_and_stake(world: World) -> None:
    """The payout is taken back, the stake given back, in this order; void is final."""
    session, match = await world.session(), await world.match()
    bet = await world.bet(session, match)
    await world.book.rulings.result(match, HOME)
    await settler(world).settle(match)
    await world.book.rulings.void(match)
    await settler(world).settle(match)
    assert await world.said(bet.id) == [
        ("bet", 500),
        ("result-1", 1000),
        ("rollback-1", 1000),
        ("rollback-bet", 500),
    ]
    assert await states(world, session) == [(BetState.VOID, None)]
    with pytest.raises(Conflict) as refused:
        await world.book.rulings.correct(match, AWAY)
    assert refused.value.code == "MATCH_VOID"


async def test_a_void_before_the_result_gives_the_stake_back(world: World) -> None:
    """One rollback of the bet, and nothing else."""
    session, match = await world.session(), await world.match()
    bet = await world.bet(session, match)
    await world.book.rulings.void(match)
    await settler(world).settle(match)
    assert await world.said(bet.id) == [("bet", 500), ("rollback-bet", 500)]


async def test_refused_bets_are_never_settled(world: World) -> None:
    """A declined or unknown bet gets no result, whatever the match does."""
    session, match = await world.session(), await world.match()
    world.wallet.answers = ["INSUFFICENT_FUNDS", "unknown"]
    declined, unknown = await world.bet(session, match), await world.bet(session, match)
    await world.book.rulings.result(match, HOME)
    assert await settler(world).settle(match) == Settled(0, 0)
    await world.book.rulings.void(match)
    assert await settler(world).settle(match) == Settled(0, 0)
    assert await world.said(declined.id) == [("bet", 500)]
    assert await world.said(unknown.id) == [("bet", 500), ("rollback-bet", 500)]


async def test_a_bet_answered_after_the_result_is_settled_too(world: World) -> None:
    """Placed before the result, accepted after it: it is left over at first, and paid in the end."""
    session, match = await world.session(), await world.match()
    world.wallet.may_answer.clear()
    placing = asyncio.create_task(world.bet(session, match))
    await world.wallet.arrived.wait()
    await world.book.rulings.result(match, HOME)
    assert await settler(world).settle(match) == Settled(0, 1)
    world.wallet.may_answer.set()
    await placing
    assert await settler(world).settle(match) == Settled(1, 0)
    assert await states(world, session) == [(BetState.WON, 1000)]


async def test_a_settlement_that_was_killed_is_finished_by_the_next_process(
    world: World, new_sportsbook: NewSportsbook
) -> None:
    """Whatever chunk it died in, every bet is settled exactly once in the end."""
    session, match = await world.session(), await world.match()
    bets = [await world.bet(session, match) for _ in range(7)]
    await world.book.rulings.result(match, HOME)
    await settler(world, chunk=3).settle_chunk(match)
    async with world.book.pool.acquire() as conn:  # a chunk that was never committed
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute(
            "UPDATE bet SET state = 'won', payout = 1, applied_ruling = 1 WHERE state = 'accepted'"
        )
        await transaction.rollback()
    survivor = await new_sportsbook()
    assert await settler(survivor, chunk=3).settle_all() == Settled(4, 0)
    for bet in bets:
        assert await survivor.said(bet.id) == [("bet", 500), ("result-1", 1000)]


async def test_settlers_at_work_on_one_match_share_it(world: World, new_sportsbook: NewSportsbook) -> None:
    """Two processes settle side by side; no bet is paid twice, none is left."""
    other = await new_sportsbook()
    session, match = await world.session(), await world.match()
    bets = [await world.bet(session, match) for _ in range(20)]
    await world.book.rulings.result(match, HOME)
    await asyncio.gather(*(settler(place, chunk=2).settle(match) for place in (world, other, world, other)))
    assert await settler(world).settle_all() == Settled(0, 0)
    for bet in bets:
        assert await world.said(bet.id) == [("bet", 500), ("result-1", 1000)]


async def test_progress_ends_at_all_bets(world: World) -> None:
    """Whoever watches sees the count rise to the number of bets."""
    session, match = await world.session(), await world.match()
    for _ in range(5):
        await world.bet(session, match)
    await world.book.rulings.result(match, HOME)
    told: list[tuple[int, int]] = []
    await settler(world, chunk=2).settle(match, lambda done, total: told.append((done, total)))
    assert told[0] == (0, 5)
    assert told[-1] == (5, 5)
    assert told == sorted(told)


async def test_one_big_match_does_not_hold_up_the_others(world: World) -> None:
    """Each turn gives every waiting match one chunk."""
    session = await world.session()
    big, small = await world.match(), await world.match("Copper Hill")
    for _ in range(5):
        await world.bet(session, big)
    await world.bet(session, small)
    for match in (big, small):
        await world.book.rulings.result(match, AWAY)
    await settler(world, chunk=2).run_once()
    done = [state for state, _ in await states(world, session)].count(BetState.LOST)
    assert done == 3, "two of the big match and the small one's"


async def test_rulings_that_make_no_sense_are_refused(world: World) -> None:
    """A second result, a correction of nothing, an unknown match; the same result again is no change."""
    match = await world.match()
    with pytest.raises(Conflict, match="no result yet"):
        await world.book.rulings.correct(match, HOME)
    assert (await world.book.rulings.result(match, HOME)).changed
    assert not (await world.book.rulings.result(match, HOME)).changed
    with pytest.raises(Conflict, match="match correct"):
        await world.book.rulings.result(match, DRAW)
    with pytest.raises(NotFound):
        await world.book.rulings.void(999_999)


async def test_a_bet_that_cannot_be_settled_stops_its_match_and_no_other(world: World) -> None:
    """A currency that was taken out of the configuration is an error of one match, named in the log."""
    session = await world.session()
    stuck, fine = await world.match(), await world.match("Copper Hill")
    for match in (stuck, fine):
        await world.bet(session, match)
    await world.book.pool.execute("UPDATE bet SET currency = 'GONE' WHERE match_id = $1", stuck)
    for match in (stuck, fine):
        await world.book.rulings.result(match, HOME)
    await settler(world).run_once()
    rows = await world.book.pool.fetch("SELECT state FROM bet ORDER BY match_id")
    assert [row["state"] for row in rows] == ["accepted", "won"]
