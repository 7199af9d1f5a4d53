"""One client's lane: claims, attempts and a circuit breaker of its own, so that it slows nobody else."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from stakewire.clock import Clock
from stakewire.delivery.breaker import Breaker, BreakerPolicy
from stakewire.delivery.outbox import Claimed, Outbox, Recorded
from stakewire.delivery.outcome import Attempt
from stakewire.delivery.schedule import Chance
from stakewire.delivery.state import after_attempt
from stakewire.sportsbook.delivery.metrics import DeliveryMetrics
from stakewire.sportsbook.delivery.recorder import Recorder
from stakewire.sportsbook.delivery.sending import Sender
from stakewire.sportsbook.delivery.targets import ClientTarget, TargetSource

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """Bounds of one lane. A lease outlives the longest attempt and the time a claim may wait for its turn."""

    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    timeout: float = 10.0  # seconds for one attempt
    lease: float = 30.0  # seconds
    most_claimed: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all lanes of a process share."""

    outbox: Outbox
    recorder: Recorder
    sender: Sender
    targets: TargetSource
    metrics: DeliveryMetrics
    clock: Clock
    chance: Chance
    worker: str
    limits: LaneLimits
    look: asyncio.Event  # set when something may be due; the worker then asks the outbox


class Lane:
    """Claims what is due for one client while it can be sent, and sends it with a few long-lived tasks.

    Claims only as many as it can expect to send soon: what it sent in the last second, and at
    least one per attempt that may be in flight. So a slow client's callbacks do not sit in
    memory until their lease runs out, and a fast one's are claimed some hundred at a time.
    """

    def __init__(self, client_id: int, shared: Shared) -> None:
        self.client_id = client_id
        self._shared = shared
        self._clock = shared.clock
        self._breaker = Breaker(shared.limits.breaker)
        self._claimed: deque[Claimed] = deque()
        self._target: ClientTarget | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._filling: asyncio.Task[None] | None = None
        self._again = False
        self._changed = asyncio.Event()
        self._stopping = False
        self._pace = Pace()

    @property
    def idle(self) -> bool:
        """Nothing claimed or in flight, and no fault to remember: the lane may be forgotten."""
        return not (self._sending or self._claimed or self._filling) and self._breaker.open_until is None

    def wake(self) -> None:
        """There may be something due for this client."""
        if self._stopping:
            return
        if self._filling is None:
            self._filling = asyncio.create_task(self._fill(), name=f"lane {self.client_id}")
            self._filling.add_done_callback(self._filled)
        else:
            self._again = True

    def _filled(self, task: asyncio.Task[None]) -> None:
        self._filling = None
        again, self._again = self._again, False
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.warning("lane waits for the database", client_id=self.client_id, error=str(fault))
        elif again:
            self.wake()

    async def _fill(self) -> None:
        """Claim until nothing is due, the breaker opens, or the worker stops."""
        shared = self._shared
        while not self._stopping:
            await shared.recorder.room()
            allowed = self._breaker.allowance(self._clock.monotonic())
            if allowed == 0:
                return
            wanted = self._wanted(allowed)
            if wanted == 0:
                self._changed.clear()
                await self._changed.wait()
                continue
            self._target = await shared.targets.target(self.client_id)
            if self._target is None:
                _log.error("callbacks of an unknown client wait", client_id=self.client_id)
                return
            self._again = False
            now = self._clock.now()
            until = now + timedelta(seconds=shared.limits.lease)
            batch = await shared.outbox.claim(
                self.client_id, now=now, until=until, limit=wanted, worker=shared.worker
            )
            self._claimed.extend(batch)
            self._add_senders()
            if len(batch) < wanted and not self._again:
                return

    def _wanted(self, allowed: int) -> int:
        """How many to claim now: none while half of what can be sent soon is still here."""
        most = self._shared.limits.most_claimed
        soon = min(most, max(allowed, self._pace.per_second)) if allowed > 1 else 1 - len(self._sending)
        return soon - len(self._claimed) if 2 * len(self._claimed) <= soon else 0

    def _add_senders(self) -> None:
        allowed = self._breaker.allowance(self._clock.monotonic())
        if allowed == 0:
            self._give_back()
        for _ in range(min(len(self._claimed), allowed - len(self._sending))):
            task = asyncio.create_task(self._send_on())
            self._sending.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._changed.set()
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("sender failed", client_id=self.client_id, error=repr(fault))

    async def _send_on(self) -> None:
        """Send one claimed callback after another, for as long as the breaker lets this many go on."""
        shared = self._shared
        clock = self._clock
        longest = timedelta(seconds=shared.limits.timeout)
        while self._claimed:
            claimed = self._claimed.popleft()
            target = self._target
            if target is None or clock.now() + longest > claimed.leased_until:
                shared.recorder.give_back([claimed])  # its lease would not outlive the attempt
                continue
            attempt = await shared.sender.attempt(target, claimed.path, claimed.body, shared.limits.timeout)
            self._note(claimed, target, attempt)
            self._changed.set()
            if not shared.recorder.has_room:
                await shared.recorder.room()
            if len(self._sending) > self._breaker.allowance(clock.monotonic()):
                return

    def _note(self, claimed: Claimed, target: ClientTarget, attempt: Attempt) -> None:
        """Take the step, tell the breaker and the numbers; the recorder makes it durable."""
        shared = self._shared
        now = self._clock.monotonic()
        step = after_attempt(
            attempt,
            attempts=claimed.attempts - claimed.schedule_start,
            schedule=target.schedule,
            now=self._clock.now(),
            chance=shared.chance,
        )
        shared.recorder.put(Recorded(claimed, attempt, step))
        shared.metrics.attempted(claimed.action, attempt.outcome, attempt.ms)
        self._pace.count(now)
        if attempt.peer_alive:
            self._breaker.succeeded()
            if self._claimed and len(self._sending) < self._shared.limits.breaker.widest_window:
                self._add_senders()
        else:
            self._breaker.failed(now)
            if self._breaker.allowance(now) == 0:
                self._give_back()

    def _give_back(self) -> None:
        """The breaker has opened, or the worker stops: others, or this lane later, may claim these."""
        if self._claimed:
            self._shared.recorder.give_back(list(self._claimed))
            self._claimed.clear()

    async def stop(self, grace: float) -> None:
        """Claim no more, give back what was not sent, and let what is in flight come to its end."""
        self._stopping = True
        if self._filling is not None:
            self._changed.set()
            await asyncio.wait([self._filling], timeout=grace)
        self._give_back()
        if self._sending:
            await asyncio.wait(self._sending, timeout=grace)

    def cancel(self) -> None:
        """End now; what is under lease is claimed again when the lease runs out."""
        self._stopping = True
        for task in (self._filling, *self._sending):
            if task is not None:
                task.cancel()


class Pace:
    """How many attempts ended per second, lately."""

    __slots__ = ("_count", "_since", "per_second")

    def __init__(self) -> None:
        self.per_second = 0
        self._count = 0
        self._since = 0.0

    def count(self, now: float) -> None:
        """One more; `now` in monotonic seconds."""
        self._count += 1
        elapsed = now - self._since
        if elapsed >= 0.25:
            self.per_second = int(self._count / elapsed)
            self._since = now
            self._count = 0
