"""A bet's callback: one send, one deadline, and only three things that can be known afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from stakewire.clock import Clock
from stakewire.delivery.outbox import NewCallback
from stakewire.delivery.outcome import Attempt, Outcome
from stakewire.sportsbook.delivery.metrics import DeliveryMetrics
from stakewire.sportsbook.delivery.sending import Sender
from stakewire.sportsbook.delivery.targets import ClientTarget


@dataclass(frozen=True, slots=True)
class BetAccepted:
    """The wallet took the stake."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class BetDeclined:
    """The wallet refused for good: no money moved and none will. `code` is the wire's word."""

    code: str
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class BetUnknown:
    """The wallet may or may not have taken the stake: refuse the bet and enqueue its rollback."""

    attempt: Attempt


BetAnswer: TypeAlias = BetAccepted | BetDeclined | BetUnknown


class BetSender:
    """Sends bets, each once. The caller stored the bet before, and records `answer.attempt` after."""

    def __init__(self, sender: Sender, clock: Clock, metrics: DeliveryMetrics) -> None:
        self._sender = sender
        self._clock = clock
        self._metrics = metrics

    async def send(
        self, client: ClientTarget, callback: NewCallback, *, answer_by: datetime | None = None
    ) -> BetAnswer:
        """Send the bet now; the answer must come within the client's bet timeout.

        `answer_by` is the stored deadline of the bet. A process that was held up until it has
        passed sends nothing: the bet may have been refused and rolled back meanwhile, and a
        rollback must never run beside a send.
        """
        attempt = await self._attempt(client, callback, answer_by)
        self._metrics.attempted(callback.action, attempt.outcome, attempt.ms)
        if attempt.outcome is Outcome.ACCEPTED:
            return BetAccepted(attempt)
        if attempt.outcome is Outcome.DECLINED and attempt.reason is not None:
            return BetDeclined(attempt.reason, attempt)
        return BetUnknown(attempt)

    async def _attempt(
        self, client: ClientTarget, callback: NewCallback, answer_by: datetime | None
    ) -> Attempt:
        timeout = client.bet_timeout
        if answer_by is not None:
            now = self._clock.now()
            timeout = min(timeout, (answer_by - now).total_seconds())
            if timeout <= 0:
                return Attempt(outcome=Outcome.NOT_SENT, at=now, ms=0, reason="too late to be sent")
        return await self._sender.attempt(client, callback.path, callback.body, timeout)
