"""What rulings do to a bet, and that the money always comes out right."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.betting.bets import (
    BetState,
    Move,
    PayResult,
    ReturnStake,
    TakeBackResult,
    TakenBet,
    rule,
)
from stakewire.betting.markets import OUTCOMES, Market, Score, winning_outcome
from stakewire.betting.odds import payout_minor

ACCEPTED = TakenBet(BetState.ACCEPTED, Market.MATCH_RESULT, "1", 500, Decimal("2.10"), None, 0)
HOME, AWAY = Score(2, 0), Score(0, 1)

scores = st.builds(Score, st.integers(0, 6), st.integers(0, 6))
rulings = st.lists(scores | st.none(), min_size=1, max_size=6)
bets = st.sampled_from([(market, name) for market in Market for name in OUTCOMES[market]])


def after(bet: TakenBet, score: Score | None) -> tuple[TakenBet, tuple[Move, ...]]:
    """The bet as it is stored after a ruling, and what was sent."""
    ruled = rule(bet, score)
    stored = replace(bet, state=ruled.state, payout_minor=ruled.payout_minor, results_sent=ruled.results_sent)
    return stored, ruled.moves


class Wallet:
    """What a wallet that holds to the contract does with the moves: each id once, each target once."""

    def __init__(self, stake: int) -> None:
        self.balance = -stake
        self._stake = stake
        self._paid: dict[int, int] = {}
        self._stake_back = False

    def receive(self, move: Move) -> None:
        match move:
            case PayResult(number, amount):
                assert number not in self._paid, "a result's id is used twice"
                self._paid[number] = amount
                self.balance += amount
            case TakeBackResult(number, amount):
                assert self._paid.pop(number) == amount, "a rollback names another amount than it undoes"
                self.balance -= amount
            case ReturnStake(amount):
                assert not self._stake_back, "the stake is given back twice"
                assert amount == self._stake
                self._stake_back = True
                self.balance += amount


@given(bets, st.integers(1, 10**9), rulings)
def test_after_any_rulings_the_player_has_what_the_last_one_says(
    on: tuple[Market, str], stake: int, chain: list[Score | None]
) -> None:
    """First result, corrections and a final void: the balance depends on the last ruling alone."""
    bet = TakenBet(BetState.ACCEPTED, on[0], on[1], stake, Decimal("3.37"), None, 0)
    wallet = Wallet(stake)
    last: Score | None = None
    for score in chain:
        bet, moves = after(bet, score)
        for move in moves:
            wallet.receive(move)
        last = score
        if score is None:
            break  # void is final
    if last is None:
        assert (bet.state, wallet.balance) == (BetState.VOID, 0)
    elif winning_outcome(on[0], last) == on[1]:
        assert (bet.state, wallet.balance) == (BetState.WON, payout_minor(stake, bet.odds) - stake)
    else:
        assert (bet.state, wallet.balance) == (BetState.LOST, -stake)


def test_a_won_bet_is_paid_stake_times_odds() -> None:
    """The first result of a won bet is its payout, stake included."""
    assert after(ACCEPTED, HOME)[1] == (PayResult(1, 1050),)


def test_a_lost_bet_gets_a_result_of_zero() -> None:
    """The wallet is told of lost bets too, so that it can close them."""
    assert after(ACCEPTED, AWAY)[1] == (PayResult(1, 0),)


def test_a_correction_takes_the_old_result_back_before_the_new_one() -> None:
    """Won, in truth lost: the payout is rolled back, then a result of 0 is sent under a new number."""
    won, _ = after(ACCEPTED, HOME)
    assert after(won, AWAY)[1] == (TakeBackResult(1, 1050), PayResult(2, 0))


def test_a_correction_that_changes_nothing_for_a_bet_sends_nothing() -> None:
    """2-0 or 3-0 is the same to a bet on the home side."""
    won, _ = after(ACCEPTED, HOME)
    assert after(won, Score(3, 0)) == (won, ())


def test_a_void_after_settlement_undoes_the_result_and_then_the_bet() -> None:
    """Everything the wallet did for the bet is undone, the latest first."""
    lost, _ = after(ACCEPTED, AWAY)
    assert after(lost, None)[1] == (TakeBackResult(1, 0), ReturnStake(500))


def test_a_void_before_settlement_gives_the_stake_back() -> None:
    """There is nothing else to undo."""
    assert after(ACCEPTED, None)[1] == (ReturnStake(500),)


@pytest.mark.parametrize("state", [BetState.PENDING, BetState.REFUSED, BetState.VOID])
def test_no_ruling_touches_a_bet_whose_stake_is_not_with_us(state: BetState) -> None:
    """Pending, refused and void bets have nothing to pay out."""
    with pytest.raises(ValueError, match="no ruling touches"):
        rule(replace(ACCEPTED, state=state), HOME)


@given(scores)
def test_every_market_has_exactly_one_winner(score: Score) -> None:
    """The winner is one of the outcomes that are offered."""
    for market in Market:
        assert winning_outcome(market, score) in OUTCOMES[market]


@pytest.mark.parametrize(
    ("score", "result", "total"),
    [
        (Score(0, 0), "X", "under"),
        (Score(1, 1), "X", "under"),
        (Score(2, 1), "1", "over"),
        (Score(0, 3), "2", "over"),
    ],
)
def test_winners_of_known_scores(score: Score, result: str, total: str) -> None:
    """Over 2.5 needs three goals."""
    assert winning_outcome(Market.MATCH_RESULT, score) == result
    assert winning_outcome(Market.TOTAL_2_5, score) == total
