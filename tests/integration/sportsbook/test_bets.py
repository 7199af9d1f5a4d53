"""A bet is written, sent once and decided once, whatever happens in between."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from tests.integration.sportsbook.conftest import NewSportsbook, World

from stakewire.betting.bets import BetState
from stakewire.errors import Conflict, NotFound, Refused, Unavailable
from stakewire.sportsbook.bets import OddsChanged, Slip

FIRST = [("bet", 500)]
ROLLED_BACK = [("bet", 500), ("rollback-bet", 500)]


async def test_an_accepted_bet_keeps_its_odds_and_is_shown(world: World) -> None:
    """The wallet's yes makes the bet; later odds are another bet's."""
    session, match = await world.session(), await world.match()
    bet = await world.bet(session, match)
    assert (bet.state, bet.stake_minor, bet.odds) == (BetState.ACCEPTED, 500, Decimal("2.00"))
    await world.book.pool.execute("UPDATE outcome SET odds = 9")
    (shown,) = await world.bets.of_player(session)
    assert shown.odds == Decimal("2.00")
    assert await world.said(bet.id) == FIRST


async def test_the_callback_says_the_bet_as_the_contract_wants_it(world: World) -> None:
    """Amount with the currency's decimals, the player's name, and an id of the bet's own."""
    bet = await world.bet(await world.session("u-7"), await world.match(), stake="5")
    assert world.wallet.sent[0].path == "/transaction"
    assert world.wallet.sent[0].body == (
        b'{"transaction_id":"%d-bet","action":"bet","user_id":"u-7","currency":"EUR","amount":5.00}' % bet.id
    )


@pytest.mark.parametrize("code", ["INSUFFICENT_FUNDS", "USER_BLOCKED", "LIMIT_EXCEEDED"])
async def test_a_definite_decline_refuses_the_bet_and_owes_nothing(world: World, code: str) -> None:
    """The wallet has stored its no: there is nothing to roll back."""
    world.wallet.answers = [code]
    bet = await world.bet(await world.session(), await world.match())
    assert (bet.state, bet.refusal, bet.stake_returned) == (BetState.REFUSED, code, False)
    assert await world.said(bet.id) == FIRST


async def test_an_unknown_answer_refuses_the_bet_and_queues_its_rollback_with_it(world: World) -> None:
    """No answer may hide a debit: the stake is rolled back, after the bet's own callback has ended."""
    world.wallet.answers = ["unknown"]
    bet = await world.bet(await world.session(), await world.match())
    assert (bet.state, bet.refusal, bet.stake_returned) == (BetState.REFUSED, "UNKNOWN", True)
    sent, rollback = await world.callbacks(bet.id)
    assert (sent["state"], rollback["state"]) == ("final", "due")
    assert rollback["target_id"] == sent["transaction_id"]


async def test_the_same_slip_again_is_the_same_bet(world: World) -> None:
    """However often the page sends it, one after another or at once, one bet is placed."""
    session, match = await world.session(), await world.match()
    slip = await world.slip(match)
    first = await world.bets.place(session, slip)
    again = await asyncio.gather(*(world.bets.place(session, slip) for _ in range(5)))
    assert {bet.id for bet in again} == {first.id}
    assert len(world.wallet.sent) == 1


async def test_copies_of_a_slip_at_two_processes_are_one_bet(
    world: World, new_sportsbook: NewSportsbook
) -> None:
    """The unique key decides between processes; the loser shows the winner's bet."""
    other = await new_sportsbook()
    session, match = await world.session(), await world.match()
    slip = await world.slip(match)
    placed = await asyncio.gather(
        *(place.bets.place(session, slip) for place in (world, other) for _ in range(8))
    )
    assert len({bet.id for bet in placed}) == 1
    assert len(world.wallet.sent) + len(other.wallet.sent) == 1


async def test_a_slip_id_used_for_another_bet_is_refused(world: World) -> None:
    """An id stands for its first content; another stake or outcome under it is a mistake, not a bet."""
    session, match = await world.session(), await world.match()
    slip = await world.slip(match)
    await world.bets.place(session, slip)
    for other in (
        await world.slip(match, stake="6.00", slip_id=slip.slip_id),
        await world.slip(match, "X", slip_id=slip.slip_id),
    ):
        with pytest.raises(Conflict) as refused:
            await world.bets.place(session, other)
        assert refused.value.code == "SLIP_REUSED"
    assert len(world.wallet.sent) == 1


async def test_changed_odds_are_shown_and_nothing_is_sent(world: World) -> None:
    """A bet is taken at the odds the player saw, or not at all."""
    session, match = await world.session(), await world.match()
    slip = await world.slip(match)
    await world.book.pool.execute("UPDATE outcome SET odds = 1.95 WHERE id = $1", slip.outcome_id)
    with pytest.raises(OddsChanged) as refused:
        await world.bets.place(session, slip)
    assert refused.value.odds == Decimal("1.95")
    assert not world.wallet.sent


async def test_bets_close_at_kickoff(world: World) -> None:
    """One second before is in time, the moment itself is not."""
    session, match = await world.session(), await world.match(starts_in=timedelta(seconds=10))
    world.clock.advance(9)
    await world.bet(session, match)
    world.clock.advance(1)
    with pytest.raises(Refused) as refused:
        await world.bet(session, match)
    assert refused.value.code == "MATCH_STARTED"


async def test_no_bet_on_a_match_that_is_decided(world: World) -> None:
    """A result before the kick-off closes the match too."""
    from stakewire.betting.markets import Score

    session, match = await world.session(), await world.match()
    await world.book.rulings.result(match, Score(1, 0))
    with pytest.raises(Refused, match="bets are closed"):
        await world.bet(session, match)


@pytest.mark.parametrize("stake", ["0", "0.00", "-1", "0.001", "1e2", "NaN", "", "five", " 5", "500000.01"])
async def test_a_stake_that_is_none_is_refused_before_anything_is_sent(world: World, stake: str) -> None:
    """Zero, negative, too many decimals, no number, or a payout over the limit of one million."""
    with pytest.raises(Refused) as refused:
        await world.bet(await world.session(), await world.match(), stake=stake)
    assert refused.value.code == "INVALID_STAKE"
    assert not world.wallet.sent


async def test_an_unknown_outcome_is_not_found(world: World) -> None:
    """Ids of outcomes that never were place nothing."""
    with pytest.raises(NotFound):
        await world.bets.place(await world.session(), Slip(uuid4(), 999_999, Decimal(2), "1"))


async def test_a_bet_without_recorded_answer_is_rolled_back_and_never_sent_by_the_next_process(
    world: World, new_sportsbook: NewSportsbook
) -> None:
    """Killed between writing and deciding: after its deadline the bet is unknown, whoever looks."""
    session, match = await world.session(), await world.match()
    world.wallet.may_answer.clear()
    placing = asyncio.create_task(world.bet(session, match))
    await world.wallet.arrived.wait()  # written and sent; this process now dies

    survivor = await new_sportsbook()
    assert await survivor.reaper.run_once() == 0, "its answer may still come"
    world.clock.advance(10)
    assert await survivor.reaper.run_once() == 1
    (bet,) = await survivor.bets.of_player(session)
    assert (bet.state, bet.refusal) == (BetState.REFUSED, "UNKNOWN")
    assert await survivor.said(bet.id) == ROLLED_BACK
    assert [row["state"] for row in await survivor.callbacks(bet.id)] == ["final", "due"]
    assert not survivor.wallet.sent
    world.wallet.may_answer.set()
    await placing


async def test_an_answer_after_the_deadline_changes_nothing(world: World) -> None:
    """The bet was given up; the wallet's late yes is kept to be shown, and the rollback goes out."""
    session, match = await world.session(), await world.match()
    world.wallet.may_answer.clear()
    placing = asyncio.create_task(world.bet(session, match))
    await world.wallet.arrived.wait()
    world.clock.advance(10)
    await world.reaper.run_once()
    world.wallet.may_answer.set()
    bet = await placing
    assert (bet.state, bet.refusal) == (BetState.REFUSED, "UNKNOWN")
    assert await world.said(bet.id) == ROLLED_BACK
    assert world.decided == ["UNKNOWN", "late"]


async def test_a_caller_that_goes_away_does_not_leave_its_bet_undecided(world: World) -> None:
    """The page was closed while the wallet was asked: the bet is decided all the same."""
    session, match = await world.session(), await world.match()
    world.wallet.may_answer.clear()
    placing = asyncio.create_task(world.bet(session, match))
    await world.wallet.arrived.wait()
    placing.cancel()
    world.wallet.may_answer.set()
    await world.bets.drain()
    (bet,) = await world.bets.of_player(session)
    assert bet.state is BetState.ACCEPTED


async def test_a_client_whose_wallet_hangs_does_not_turn_away_the_bets_of_others(
    new_sportsbook: NewSportsbook,
) -> None:
    """Bets in flight are bounded per client: the first client's are BUSY, the second's goes on."""
    world = await new_sportsbook(bets_in_flight=1)
    await world.client()
    first, match = await world.session(), await world.match()
    await world.client("other")
    other = await world.session(client="other")
    world.wallet.may_answer.clear()
    hanging = asyncio.create_task(world.bet(first, match))
    await world.wallet.arrived.wait()
    with pytest.raises(Unavailable, match="too many bets"):
        await world.bet(first, match)
    world.wallet.arrived.clear()
    going_on = asyncio.create_task(world.bet(other, match))
    await world.wallet.arrived.wait()
    world.wallet.may_answer.set()
    assert [(await bet).state for bet in (hanging, going_on)] == [BetState.ACCEPTED, BetState.ACCEPTED]


async def test_an_answer_is_recorded_when_the_database_comes_back(world: World) -> None:
    """Connections lost between answer and recording cost a retry, not the bet."""
    session, match = await world.session(), await world.match()
    world.wallet.may_answer.clear()
    placing = asyncio.create_task(world.bet(session, match))
    await world.wallet.arrived.wait()
    await world.lose_connections()
    world.wallet.may_answer.set()
    assert (await placing).state is BetState.ACCEPTED


async def test_players_see_their_own_bets_only(world: World) -> None:
    """Another player, another client's player of the same name, another currency: nothing of alice's."""
    await world.client("other", currencies=("EUR",))
    await world.clients.set("acme", currencies=("EUR", "USD"))
    await world.book.directory.reload()
    await world.bet(await world.session("alice"), await world.match())
    for stranger in (
        await world.session("bob"),
        await world.session("alice", client="other"),
        await world.session("alice", currency="USD"),
    ):
        assert await world.bets.of_player(stranger) == []


async def test_the_same_slip_id_of_two_players_are_two_bets(world: World) -> None:
    """A slip id belongs to its player, not to the world."""
    match = await world.match()
    slip = await world.slip(match)
    placed = [await world.bets.place(await world.session(user), slip) for user in ("alice", "bob")]
    assert len({bet.id for bet in placed}) == 2
