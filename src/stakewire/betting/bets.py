"""The life of a single bet, and the callbacks that each turn of it owes the player's wallet.

    pending -> accepted -> won | lost -> (corrected) won | lost
       |          |           |
       v          v           v
    refused      void        void

A bet is `pending` while its stake is being asked for, `refused` when the wallet said no or nothing
certain. `void` gives the stake back and is final: the contract has no debit but `bet`, so a stake
that went back cannot be taken again.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from stakewire.betting.markets import Market, Score, winning_outcome
from stakewire.betting.odds import payout_minor

UNKNOWN = "UNKNOWN"  # the refusal of a bet whose answer never came, or was neither yes nor a final no


class BetState(StrEnum):
    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WON = "won"
    LOST = "lost"
    VOID = "void"


OPEN_TO_RULING = frozenset({BetState.ACCEPTED, BetState.WON, BetState.LOST})


@dataclass(frozen=True, slots=True)
class TakenBet:
    """A bet whose stake is with us, as far as a ruling on its match needs to know it.

    `results_sent` counts the results that were decided for it so far; the last one stands unless the
    state is `accepted` (then there is none).
    """

    state: BetState
    market: Market
    outcome: str
    stake_minor: int
    odds: Decimal
    payout_minor: int | None
    results_sent: int


@dataclass(frozen=True, slots=True)
class PayResult:
    """Send result number `number` of this bet; 0 tells the wallet that the bet lost."""

    number: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class TakeBackResult:
    """Roll result number `number` back; `amount_minor` is what it paid."""

    number: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ReturnStake:
    """Roll the bet itself back."""

    amount_minor: int


Move = PayResult | TakeBackResult | ReturnStake


@dataclass(frozen=True, slots=True)
class Ruled:
    """What a bet becomes, and the callbacks to send for it, in this order."""

    state: BetState
    payout_minor: int | None
    results_sent: int
    moves: tuple[Move, ...]


def rule(bet: TakenBet, score: Score | None) -> Ruled:
    """Apply a match's ruling, its score or None for void, to one bet on it.

    First settlement, correction and void after settlement are the same question asked of a bet in
    different states: take back what was paid under the earlier ruling, then do what this one says.
    A correction that changes nothing for this bet sends nothing.

    Raises:
        ValueError: the bet is pending, refused or void, and no ruling may touch it.
    """
    if bet.state not in OPEN_TO_RULING:
        raise ValueError(f"no ruling touches a bet that is {bet.state}")
    taken_back = _take_back(bet)
    if score is None:
        return Ruled(BetState.VOID, None, bet.results_sent, (*taken_back, ReturnStake(bet.stake_minor)))
    won = winning_outcome(bet.market, score) == bet.outcome
    state = BetState.WON if won else BetState.LOST
    if state is bet.state:
        return Ruled(state, bet.payout_minor, bet.results_sent, ())
    payout = payout_minor(bet.stake_minor, bet.odds) if won else 0
    number = bet.results_sent + 1
    return Ruled(state, payout, number, (*taken_back, PayResult(number, payout)))


def _take_back(bet: TakenBet) -> tuple[Move, ...]:
    if bet.state is BetState.ACCEPTED:
        return ()
    return (TakeBackResult(bet.results_sent, bet.payout_minor or 0),)
