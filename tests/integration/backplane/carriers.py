"""Both carriers of messages between hub processes, behind one face for the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from stakewire.clock import SystemClock
from stakewire.ids import SystemTokens
from stakewire.net.signalr.backplane import Backplane
from stakewire.net.signalr.nats import NatsBackplane, NatsLimits
from stakewire.postgres.backplane.limits import BackplaneLimits
from stakewire.postgres.backplane.store import PostgresBackplane

LOST = b"<lost>"
WAIT_SECONDS = 20.0


@dataclass
class Process:
    """One process of a hub: what it heard, in order; `LOST` where something is missing."""

    backplane: Backplane
    heard: list[bytes] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        await self.backplane.start(self._hear, lambda: self._hear(LOST))

    async def hears(self, *wanted: bytes) -> None:
        """Wait until it has heard exactly these, of those that do not begin with `~`."""
        await self.until(lambda: len(self.said) >= len(wanted))
        assert self.said == list(wanted)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @property
    def said(self) -> list[bytes]:
        return [one for one in self.heard if not one.startswith(b"~")]

    def _hear(self, body: bytes) -> None:
        self.heard.append(body)
        self._changed.set()


@dataclass
class Carrier:
    """Where processes of one hub meet."""

    make: Callable[[str], Backplane]
    crash: Callable[[], Awaitable[None]]
    """The server ends at once, and forgets what was not written down."""
    come_back: Callable[[], Awaitable[None]]
    started: list[Process] = field(default_factory=list)

    async def process(self, hub: str = "chat") -> Process:
        """A process that has started."""
        process = Process(self.make(hub))
        await process.start()
        self.started.append(process)
        return process

    async def close(self) -> None:
        for process in self.started:
            await process.backplane.stop()


def postgres_at(
    dsn: str, limits: BackplaneLimits | None = None, prefix: str = ""
) -> Callable[[str], Backplane]:
    """Backplanes on a database; the poll is slow, so that what comes soon came by NOTIFY."""

    def make(hub: str) -> Backplane:
        return PostgresBackplane(
            dsn,
            channel=prefix + hub,
            clock=SystemClock(),
            tokens=SystemTokens(),
            limits=limits or BackplaneLimits(poll_seconds=60, max_waiting=50),
        )

    return make


def nats_at(url: str, prefix: str) -> Callable[[str], Backplane]:
    """Backplanes on a server; beats come often, so that a loss at the tail is noticed soon."""

    def make(hub: str) -> Backplane:
        limits = NatsLimits(max_waiting=50, beat_seconds=0.2, connect_seconds=0.5)
        return NatsBackplane(url, subject=f"{prefix}.{hub}", tokens=SystemTokens(), limits=limits)

    return make
