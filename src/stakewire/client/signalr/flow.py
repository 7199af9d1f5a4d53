"""Back-pressure: places where tasks wait for room, and queues that stop the reading when they are full."""

from __future__ import annotations

import asyncio
from typing import Protocol

from stakewire.client.signalr.errors import SlowConsumer


class Gate:
    """Tasks wait until somebody says that things have changed, then look for themselves."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Until the next `changed`."""
        await self._event.wait()

    def changed(self) -> None:
        """Wake all that wait now."""
        self._event.set()
        self._event.clear()


class Stallable(Protocol):
    """A bounded queue of messages for the user's code."""

    def stalled(self) -> SlowConsumer | None:
        """It stayed full too long: make room; the error, if it has to end the whole connection."""
        ...


class Backlog:
    """The queues that are full just now; while there is one, nothing more is read from the server."""

    __slots__ = ("_full", "_gate", "_seconds")

    def __init__(self, stall_seconds: float) -> None:
        self._full: dict[Stallable, None] = {}  # ordered, so that what happens does not hang on hashes
        self._gate = Gate()
        self._seconds = stall_seconds

    @property
    def full(self) -> bool:
        """Whether reading has to wait."""
        return bool(self._full)

    def filled(self, queue: Stallable) -> None:
        """`queue` has reached its bound."""
        self._full[queue] = None

    def drained(self, queue: Stallable) -> None:
        """`queue` has room again, or is gone."""
        if self._full.pop(queue, self) is None and not self._full:
            self._gate.changed()

    async def room(self) -> None:
        """Wait until no queue is full; those still full after the stall time are told that they failed.

        Raises:
            SlowConsumer: one of them cannot go on with this connection.
        """
        try:
            async with asyncio.timeout(self._seconds):
                while self._full:
                    await self._gate.wait()
        except TimeoutError:
            full, self._full = list(self._full), {}
            for error in [queue.stalled() for queue in full]:
                if error is not None:
                    raise error from None
