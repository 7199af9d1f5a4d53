"""One attempt: sign the bytes, send them, and say what is known afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stakewire.clock import Clock
from stakewire.delivery.outcome import MAX_KEPT_ANSWER, Attempt, Outcome, storable
from stakewire.net.callback_client import NoAnswer, NotSent
from stakewire.sportsbook.delivery.targets import ClientTarget
from stakewire.wire.sportsbook.answers import Accepted, Declined, read_answer


class Answer(Protocol):
    """What came back over HTTP (`net.callback_client.HttpAnswer`)."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def address(self) -> str: ...


class Poster(Protocol):
    """Sends one POST (`net.callback_client.CallbackClient`)."""

    async def post(
        self, url: str, body: bytes, headers: Sequence[tuple[str, str]], timeout: float, *, lane: int
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer's bytes mean for delivery."""

    outcome: Outcome
    reason: str | None
    client_transaction_id: str | None


def judge(status: int, body: bytes) -> Verdict:
    """Translate the contract's reading of an answer into an outcome."""
    match read_answer(status, body):
        case Accepted(own_id):
            return Verdict(Outcome.ACCEPTED, None, storable(own_id))
        case Declined(code, definite):
            outcome = Outcome.DECLINED if definite else Outcome.UNDECIDED
            return Verdict(outcome, storable(code), None)
        case unclear:
            return Verdict(Outcome.UNCLEAR, storable(unclear.reason), None)


class Sender:
    """Makes attempts over HTTP; never raises for anything a peer or a network can do."""

    def __init__(self, client: Poster, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def attempt(self, target: ClientTarget, path: str, body: bytes, timeout: float) -> Attempt:
        """Send `body`, exactly these bytes, signed with the client's present secret.

        Ends within about `timeout` seconds.
        """
        at = self._clock.now()
        started = self._clock.monotonic()
        headers = (("Content-Type", "application/json"), (target.hash_header, target.secret.sign(body)))
        try:
            # Each client has connections of its own, whatever host it shares with others.
            answer = await self._client.post(target.url(path), body, headers, timeout, lane=target.client_id)
        except NotSent as fault:
            outcome, reason = Outcome.NOT_SENT, storable(fault.reason)
        except NoAnswer as fault:
            outcome, reason = Outcome.NO_ANSWER, storable(fault.reason)
        else:
            verdict = judge(answer.status, answer.body)
            return Attempt(
                outcome=verdict.outcome,
                at=at,
                ms=self._elapsed_ms(started),
                address=answer.address,
                status=answer.status,
                reason=verdict.reason,
                client_transaction_id=verdict.client_transaction_id,
                answer=answer.body[:MAX_KEPT_ANSWER],
            )
        return Attempt(outcome=outcome, at=at, ms=self._elapsed_ms(started), reason=reason)

    def _elapsed_ms(self, started: float) -> int:
        return int((self._clock.monotonic() - started) * 1000)
