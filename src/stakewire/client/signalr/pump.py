"""Moves bytes between one transport and the session until the transport ends, and says why it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stakewire.client.signalr.errors import ConnectionLost, ServerAway, ServerClosed
from stakewire.client.signalr.flow import Backlog, Gate
from stakewire.client.signalr.lifecycle import Ending
from stakewire.client.signalr.links.base import BATCH_BYTES, Link, LinkEnded
from stakewire.client.signalr.session import Session
from stakewire.clock import Clock
from stakewire.errors import StakewireError
from stakewire.wire.signalr.messages import Close, HubMessage

_LAST_WORDS_SECONDS = 1.0  # when sending fails, what the server said before it went may still be read


class _Closed(Exception):
    def __init__(self, close: Close) -> None:
        super().__init__(close.error)
        self.close = close


class Pump:
    """One per transport."""

    def __init__(
        self,
        link: Link,
        session: Session,
        *,
        dispatch: Callable[[HubMessage], None],
        opened: Callable[[], None],
        backlog: Backlog,
        room: Gate,
        clock: Clock,
    ) -> None:
        """Attach `session` to the open `link`.

        Args:
            dispatch: takes every message for the user; must not wait.
            opened: called once, when the server has accepted the handshake or the resumption.
            backlog: while one of its queues is full, nothing is read.
            room: told whenever the session may have room for messages again.
        """
        self._link = link
        self._session = session
        self._dispatch = dispatch
        self._opened = opened
        self._backlog = backlog
        self._room = room
        self._monotonic = clock.monotonic
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._overdue: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sending = False
        self._closing = False
        session.attach(self._monotonic())

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    async def run(self) -> Ending:
        """Until the transport ends by itself; it is closed or dropped then."""
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        orderly = False
        try:
            await asyncio.wait((reader, writer, self._overdue), return_when=asyncio.FIRST_COMPLETED)
            if writer.done() and self._link.duplex:
                await asyncio.wait(
                    (reader, self._overdue),
                    timeout=_LAST_WORDS_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            ending = _ending(next(end for end in (reader, self._overdue, writer) if end.done()))
            orderly = not ending.resumable
            return ending
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._session.detach()
            for task in (reader, writer):
                task.cancel()
            await asyncio.wait((reader, writer))
            self._overdue.cancel()
            self._sending = False
            self._room.changed()
            if orderly or self._closing:
                await self._link.close()
            else:
                self._link.abort()

    async def close(self, seconds: float) -> None:
        """Send what waits and Close; cancel `run` afterwards. Gives up after `seconds`."""
        self._closing = True
        self._session.say_goodbye()
        self.wake()
        try:
            async with asyncio.timeout(seconds):
                while self._sending or self._session.unsent:
                    await self._room.wait()
        except TimeoutError:
            return

    async def _read(self) -> None:
        session = self._session
        self._arm()
        while True:
            data = await self._link.receive()
            was_live = session.live
            for message in session.receive(data, self._monotonic()):
                if not was_live:
                    was_live = True
                    self._opened()
                if isinstance(message, Close):
                    raise _Closed(message)
                self._dispatch(message)
                if self._backlog.full:
                    await self._pause()
            if session.live and not was_live:
                self._opened()
            self._after()
            while session.crowded:
                await self._room.wait()

    async def _pause(self) -> None:
        self._session.reading(False, self._monotonic())
        await self._backlog.room()
        self._session.reading(True, self._monotonic())

    async def _write(self) -> None:
        while True:
            data = self._session.take(BATCH_BYTES, self._monotonic())
            if data:
                self._sending = True
                await self._link.send(data)
                self._sending = False
                self._room.changed()
                continue
            self._wake.clear()
            await self._wake.wait()

    def _after(self) -> None:
        """Something arrived: there may be room, answers to send, an earlier deadline."""
        self._room.changed()
        self.wake()
        self._arm()

    def _arm(self) -> None:
        deadline = self._session.deadline()
        if deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            wait = max(0.0, deadline - self._monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        try:
            self._session.tick(self._monotonic())
        except ServerAway as error:
            if not self._overdue.done():
                self._overdue.set_exception(error)
        else:
            self._arm()
            self.wake()


def _ending(task: asyncio.Future[None]) -> Ending:
    error = task.exception()
    if isinstance(error, LinkEnded):
        return Ending(ConnectionLost(error.reason), resumable=not error.clean)
    if isinstance(error, ServerAway):
        return Ending(ConnectionLost(error.message), resumable=True)
    if isinstance(error, _Closed):
        close = error.close
        words = f"the server closed the connection{f': {close.error}' if close.error else ''}"
        if close.allow_reconnect:
            return Ending(ConnectionLost(words))
        return Ending(ServerClosed(words), reconnect=False)
    if isinstance(error, StakewireError):
        return Ending(error)
    assert error is not None
    raise error
