"""One callback sent by hand, for an engineer with a wallet of his own: both sides' bytes and times."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from stakewire.clock import Clock
from stakewire.delivery.outcome import Outcome, storable
from stakewire.net.callback_client import HttpAnswer, NoAnswer, NotSent
from stakewire.sportsbook.delivery.sending import judge
from stakewire.sportsbook.delivery.targets import ClientTarget
from stakewire.wire.sportsbook.signing import Secret

TIMEOUT = 10.0
WRONG_SECRET = Secret("this is not the security hash of any client")


class Poster(Protocol):
    """`net.callback_client.CallbackClient`."""

    async def post(
        self, url: str, body: bytes, headers: Sequence[tuple[str, str]], timeout: float
    ) -> HttpAnswer: ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What is sent: the endpoint's address, the headers that are ours, the body's very bytes."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What came of one copy. `answer` is None when nothing complete came back; `reason` says why."""

    number: int
    sent_at: datetime
    ended_at: datetime
    ms: float
    outcome: Outcome
    reason: str | None
    client_transaction_id: str | None
    answer: HttpAnswer | None


def build_probe(target: ClientTarget, path: str, body: bytes, *, wrong_signature: bool) -> Probe:
    """Sign `body` as a real callback of this client, or with a secret that is nobody's."""
    secret = WRONG_SECRET if wrong_signature else target.secret
    headers = (("Content-Type", "application/json"), (target.hash_header, secret.sign(body)))
    return Probe(target.url(path), headers, body)


async def send_copies(
    probe: Probe, *, copies: int, delay: float, timeout: float, poster: Poster, clock: Clock
) -> list[Copy]:
    """Send the same bytes `copies` times, each `delay` seconds after the one before, or all at once."""

    async def send(number: int) -> Copy:
        await asyncio.sleep(delay * (number - 1))
        return await _send(probe, number, timeout, poster, clock)

    return list(await asyncio.gather(*(send(number) for number in range(1, copies + 1))))


async def _send(probe: Probe, number: int, timeout: float, poster: Poster, clock: Clock) -> Copy:
    sent_at, started = clock.now(), clock.monotonic()
    answer = None
    own_id = None
    reason: str | None
    try:
        answer = await poster.post(probe.url, probe.body, probe.headers, timeout)
    except NotSent as fault:
        outcome, reason = Outcome.NOT_SENT, storable(fault.reason)
    except NoAnswer as fault:
        outcome, reason = Outcome.NO_ANSWER, storable(fault.reason)
    else:
        verdict = judge(answer.status, answer.body)
        outcome, reason, own_id = verdict.outcome, verdict.reason, verdict.client_transaction_id
    return Copy(
        number=number,
        sent_at=sent_at,
        ended_at=clock.now(),
        ms=round((clock.monotonic() - started) * 1000, 3),
        outcome=outcome,
        reason=reason,
        client_transaction_id=own_id,
        answer=answer,
    )
