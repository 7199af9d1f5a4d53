"""Bets: one send each, and three things that can be known afterwards."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stakewire.clock import SystemClock
from stakewire.delivery.action import Action
from stakewire.delivery.outcome import Outcome
from stakewire.net.callback_client import CallbackClient
from stakewire.net.egress import EgressGuard
from stakewire.sportsbook.delivery.bets import BetAccepted, BetDeclined, BetSender, BetUnknown
from stakewire.sportsbook.delivery.metrics import DeliveryMetrics
from stakewire.sportsbook.delivery.sending import Sender


@pytest.fixture
def bets(poster: Any) -> BetSender:
    clock = SystemClock()
    return BetSender(Sender(poster, clock), clock, DeliveryMetrics(CollectorRegistry()))


def _http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def accept(received: Any) -> bytes:
    """The contract's success."""
    own_id = json.loads(received.body)["transaction_id"]
    return _http(b'{"error":null,"transaction_id":"w-%b"}' % own_id.encode())


async def _slow(_: Any) -> bytes | None:
    await asyncio.sleep(3600)
    return None


@pytest.mark.parametrize(
    "code", ["INSUFFICENT_FUNDS", "USER_BLOCKED", "LIMIT_EXCEEDED", "TRANSACTION_ROLLED_BACK"]
)
async def test_definite_decline_needs_no_rollback(
    code: str, bets: BetSender, write: Any, targets: Any, receivers: Any
) -> None:
    """The four codes that the wallet keeps for ever."""
    receiver = await receivers(lambda _: _http(b'{"error":"%b"}' % code.encode()))
    answer = await bets.send(targets.set(1, receiver.url), write.new(Action.BET))
    assert isinstance(answer, BetDeclined)
    assert answer.code == code


UNKNOWN: dict[str, Any] = {
    **{
        code: lambda _, code=code: _http(b'{"error":"%b"}' % code.encode())
        for code in (
            "INTERNAL_ERROR",
            "USER_NOT_FOUND",
            "INVALID_SIGNATURE",
            "CURRENCY_MISMATCH",
            "NEVER_HEARD",
        )
    },
    "success under another status": lambda _: _http(b'{"error":null,"transaction_id":"w"}', "201 Created"),
    "decline under another status": lambda _: _http(b'{"error":"USER_BLOCKED"}', "403 Forbidden"),
    "success without an id": lambda _: _http(b'{"error":null}'),
    "cut": lambda _: None,
    "silence": _slow,
}


@pytest.mark.parametrize("case", UNKNOWN)
async def test_everything_else_is_unknown_and_the_bet_was_sent_once(
    case: str, bets: BetSender, write: Any, targets: Any, receivers: Any
) -> None:
    """Also where a library would try again: a connection cut before any byte of the answer."""
    receiver = await receivers(UNKNOWN[case])
    answer = await bets.send(targets.set(1, receiver.url, bet_timeout=0.3), write.new(Action.BET))
    assert isinstance(answer, BetUnknown)
    assert len(receiver.requests) == 1


async def test_bet_on_a_kept_connection_that_the_peer_cuts_is_not_sent_again(
    bets: BetSender, write: Any, targets: Any, receivers: Any
) -> None:
    """The second bet goes out on the first one's connection, which then breaks: unknown, one send."""
    success = _http(b'{"error":null,"transaction_id":"w-1"}')
    answers = iter([success])
    receiver = await receivers(lambda _: next(answers, None))
    target = targets.set(1, receiver.url)
    assert isinstance(await bets.send(target, write.new(Action.BET)), BetAccepted)
    assert isinstance(await bets.send(target, write.new(Action.BET)), BetUnknown)
    assert len(receiver.requests) == 2


async def test_refused_connection_is_unknown_too(
    bets: BetSender, write: Any, targets: Any, receivers: Any
) -> None:
    """Nothing was sent, and the rule is the same: the bet is refused and rolled back."""
    receiver = await receivers()
    await receiver.stop()
    answer = await bets.send(targets.set(1, receiver.url), write.new(Action.BET))
    assert isinstance(answer, BetUnknown)
    assert answer.attempt.outcome is Outcome.NOT_SENT


async def test_bet_whose_deadline_has_passed_is_not_sent(
    bets: BetSender, write: Any, targets: Any, receivers: Any
) -> None:
    """A process that slept must not send beside the rollback that others have queued meanwhile."""
    receiver = await receivers()
    late = SystemClock().now() - timedelta(seconds=1)
    answer = await bets.send(targets.set(1, receiver.url), write.new(Action.BET), answer_by=late)
    assert isinstance(answer, BetUnknown)
    assert receiver.requests == []


async def test_accepted_bet_carries_the_wallets_id(
    bets: BetSender, write: Any, targets: Any, receivers: Any
) -> None:
    """The proof that the stake was taken is kept with the attempt."""
    receiver = await receivers()
    callback = write.new(Action.BET)
    answer = await bets.send(targets.set(1, receiver.url), callback)
    assert isinstance(answer, BetAccepted)
    assert answer.attempt.client_transaction_id == f"w-{callback.transaction_id}"


async def test_hung_client_behind_the_same_address_keeps_no_bet_of_another_waiting(
    write: Any, targets: Any, receivers: Any
) -> None:
    """Two clients behind one host and port: all that one may have in flight hangs, the other is served."""
    clock = SystemClock()
    guard = EgressGuard([ip_network("127.0.0.0/8")])
    poster = CallbackClient(guard, max_connections_per_destination=2, clock=clock)
    bets = BetSender(Sender(poster, clock), clock, DeliveryMetrics(CollectorRegistry()))

    async def script(received: Any) -> bytes | None:
        return await _slow(received) if "/hung/" in received.line else accept(received)

    receiver = await receivers(script)
    hung = targets.set(1, f"{receiver.url}/hung")
    alive = targets.set(2, f"{receiver.url}/alive")
    stuck = [asyncio.create_task(bets.send(hung, write.new(Action.BET))) for _ in range(2)]
    await receiver.seen(2)
    assert isinstance(await bets.send(alive, write.new(Action.BET, client_id=2)), BetAccepted)
    assert not any(task.done() for task in stuck)
    await poster.close()
    await asyncio.gather(*stuck)
