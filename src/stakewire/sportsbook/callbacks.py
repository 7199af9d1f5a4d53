"""From what a bet owes to the callbacks that say it.

Transaction ids are made from the bet's own id, so that the same decision taken twice meets itself at
the outbox's unique key instead of at the player's wallet: `123-bet` is the stake, `123-result-1` the
first result, `123-rollback-1` the rollback of that result, `123-rollback-bet` that of the stake.
"""

from __future__ import annotations

from collections.abc import Iterable

from stakewire.betting.bets import Move, PayResult, ReturnStake, TakeBackResult
from stakewire.delivery.action import Action
from stakewire.delivery.outbox import NewCallback
from stakewire.money import Currency, from_minor
from stakewire.wire.sportsbook import messages


def stake_callback(
    *, client_id: int, bet_id: int, user_id: str, currency: Currency, stake_minor: int
) -> NewCallback:
    """The callback that asks for a bet's stake."""
    return _Sender(client_id, bet_id, user_id, currency).write(Action.BET, _stake_id(bet_id), stake_minor)


def callbacks_of(
    moves: Iterable[Move], *, client_id: int, bet_id: int, user_id: str, currency: Currency
) -> list[NewCallback]:
    """The callbacks for what a ruling, or a lost answer, does to one bet, in the order of the moves."""
    sender = _Sender(client_id, bet_id, user_id, currency)
    return [_move(sender, move) for move in moves]


def _move(sender: _Sender, move: Move) -> NewCallback:
    bet_id = sender.bet_id
    match move:
        case PayResult(number, amount_minor):
            return sender.write(Action.RESULT, _result_id(bet_id, number), amount_minor)
        case TakeBackResult(number, amount_minor):
            target = _result_id(bet_id, number)
            return sender.write(Action.ROLLBACK, f"{bet_id}-rollback-{number}", amount_minor, target)
        case ReturnStake(amount_minor):
            return sender.write(Action.ROLLBACK, f"{bet_id}-rollback-bet", amount_minor, _stake_id(bet_id))


class _Sender:
    """What all callbacks of one bet have in common."""

    __slots__ = ("_client_id", "_currency", "_user_id", "bet_id")

    def __init__(self, client_id: int, bet_id: int, user_id: str, currency: Currency) -> None:
        self.bet_id = bet_id
        self._client_id = client_id
        self._user_id = user_id
        self._currency = currency

    def write(
        self, action: Action, transaction_id: str, amount_minor: int, target_id: str | None = None
    ) -> NewCallback:
        said = messages.Transaction(
            transaction_id=transaction_id,
            action=messages.Action(action.value),
            user_id=self._user_id,
            currency=self._currency.code,
            amount=from_minor(amount_minor, self._currency),
            target_id=target_id,
        )
        endpoint = messages.Endpoint.ROLLBACK if action is Action.ROLLBACK else messages.Endpoint.TRANSACTION
        return NewCallback(
            client_id=self._client_id,
            bet_id=self.bet_id,
            transaction_id=transaction_id,
            action=action,
            user_id=self._user_id,
            currency=self._currency.code,
            amount_minor=amount_minor,
            path=f"/{endpoint.value}",
            body=messages.write_transaction(said, self._currency.exponent),
            target_id=target_id,
        )


def _stake_id(bet_id: int) -> str:
    return f"{bet_id}-bet"


def _result_id(bet_id: int, number: int) -> str:
    return f"{bet_id}-result-{number}"
