"""Writes down what attempts have shown: everything that waits, in one transaction, then the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from stakewire.clock import Clock
from stakewire.delivery.outbox import BatchRefused, Claimed, Outbox, Recorded

_log = structlog.get_logger(__name__)

MAX_BATCH = 512
MAX_WAITING = 4096
_LONGEST_PAUSE = 2.0
_GATHER = 0.02  # after a write: under load the next one then holds a hundred attempts instead of ten
_SOON = timedelta(seconds=1)


class Recorder:
    """One per process, for all lanes: no client has a part in how fast it is.

    An attempt that is not recorded is not lost: its lease runs out and it is made again. So the
    recorder may try for as long as it likes, and what no database takes is given up with a log line.
    """

    def __init__(self, outbox: Outbox, clock: Clock, look: asyncio.Event) -> None:
        """`look` is set when something was made due that the worker would find late by itself."""
        self._outbox = outbox
        self._look = look
        self._clock = clock
        self._done: list[Recorded] = []
        self._unused: list[Claimed] = []
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, recorded: Recorded) -> None:
        """Take one finished attempt."""
        self._done.append(recorded)
        self._awake()

    def give_back(self, claims: Sequence[Claimed]) -> None:
        """Take claims that will not be used."""
        self._unused.extend(claims)
        self._awake()

    def _awake(self) -> None:
        self._work.set()
        self._idle.clear()
        if len(self._done) + len(self._unused) >= MAX_WAITING:
            self._room.clear()

    @property
    def has_room(self) -> bool:
        """Whether lanes may go on; False while the database does not keep up."""
        return self._room.is_set()

    async def room(self) -> None:
        """Wait until there is room."""
        await self._room.wait()

    async def flushed(self) -> None:
        """Wait until everything taken so far is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._done or self._unused:
                done, self._done = self._done[:MAX_BATCH], self._done[MAX_BATCH:]
                unused, self._unused = self._unused[:MAX_BATCH], self._unused[MAX_BATCH:]
                if done:
                    await self._record(done)
                if unused:
                    await self._give_back(unused)
                waiting = len(self._done) + len(self._unused)
                if waiting < MAX_WAITING:
                    self._room.set()
                if waiting < MAX_BATCH:
                    await asyncio.sleep(_GATHER)
            self._idle.set()

    async def _record(self, batch: list[Recorded]) -> None:
        async def write() -> None:
            now = self._clock.now()
            written = await self._outbox.record(batch, now=now)
            if written.taken < len(batch):
                _log.warning("attempts recorded after their lease", attempts=len(batch) - written.taken)
            if written.released or any(_is_soon(one.step.due_at, now) for one in batch):
                self._look.set()

        try:
            await _insist(write)
        except BatchRefused as refused:
            if len(batch) == 1:
                _log.error("attempt cannot be recorded", callback=batch[0].claimed.id, error=str(refused))
                return
            middle = len(batch) // 2  # one row the database refuses must not take the others with it
            await self._record(batch[:middle])
            await self._record(batch[middle:])

    async def _give_back(self, claims: list[Claimed]) -> None:
        await _insist(lambda: self._outbox.give_back(claims, now=self._clock.now()))


def _is_soon(due_at: datetime | None, now: datetime) -> bool:
    return due_at is not None and due_at - now < _SOON


async def _insist(write: Callable[[], Awaitable[None]]) -> None:
    """Write until the database has taken it; only a refusal of the data itself gets out."""
    pause = 0.05
    while True:
        try:
            return await write()
        except BatchRefused:
            raise
        except Exception as fault:  # any fault of the database or the way to it
            _log.warning("recording waits for the database", error=str(fault) or type(fault).__name__)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
