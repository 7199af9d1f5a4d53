"""Streams in both directions: what a client sends item by item, and what a hub method yields."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from stakewire.wire.signalr.errors import BadArgument
from stakewire.wire.signalr.messages import StreamItem

if TYPE_CHECKING:
    from stakewire.net.signalr.connection import HubConnection

BUFFERED_ITEMS: Final = 10
"""Items of one client stream that wait for the method, before reading from the client is held."""

FLOOD_ITEMS: Final = 4096
"""Items that one stream may have waiting at all: a read that was under way brings some after the hold."""

_ITEMS_IN_A_ROW: Final = 32


class StreamFailed(Exception):
    """A client's stream broke off: its source failed, an item was of the wrong type, or the client went."""


class ClientStream(AsyncIterator[Any]):
    """Items that a client sends to a hub method, in order.

    `hold(True)` is called when `BUFFERED_ITEMS` wait, `hold(False)` when the method has caught up.
    """

    __slots__ = ("_decode", "_end", "_held", "_hold", "_items", "_waiter")

    def __init__(self, decode: Callable[[Any], Any], hold: Callable[[bool], None]) -> None:
        self._decode = decode
        self._hold = hold
        self._items: deque[Any] = deque()
        self._end: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._held = False

    def feed(self, item: Any) -> None:
        """Take an item as it arrived; one that is not of the stream's type fails the stream."""
        if self._end is not None:
            return
        try:
            self._items.append(self._decode(item))
        except BadArgument as error:
            self.end(StreamFailed(f"the client sent an item of another type: {error}"))
            return
        if len(self._items) > FLOOD_ITEMS:
            self.end(StreamFailed("the client sent items faster than they were read"))
            self._items.clear()
        elif len(self._items) >= BUFFERED_ITEMS:
            self._set_held(True)
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """No item follows; with `error` the method's iteration raises it after the items that came."""
        if self._end is None:
            self._end = error or StopAsyncIteration()
        self._wake()

    def drop(self) -> None:
        """The method has ended: forget what it did not read."""
        self._end = self._end or StopAsyncIteration()
        self._items.clear()
        self._set_held(False)

    async def __anext__(self) -> Any:
        """The next item.

        Raises:
            StreamFailed: the stream broke off.
        """
        while not self._items:
            if self._end is not None:
                raise self._end
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        item = self._items.popleft()
        if len(self._items) <= BUFFERED_ITEMS // 2:
            self._set_held(False)
        return item

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_held(self, held: bool) -> None:
        if held is not self._held:
            self._held = held
            self._hold(held)


class ServerStream:
    """A streaming method at work, and the client's wish that it stop."""

    __slots__ = ("cancelled", "task")

    def __init__(self) -> None:
        self.cancelled = False
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Stop it at the next item, or in the middle of waiting for one.

        A task that has not begun cannot be cancelled here: its end would then never be told to the client.
        """
        first, self.cancelled = not self.cancelled, True
        if first and self.task is not None:
            self.task.cancel()

    def begun(self) -> None:
        """To be called by the task itself, as its first act."""
        self.task = asyncio.current_task()


async def send_items(
    connection: HubConnection, invocation_id: str, items: AsyncIterator[Any], stream: ServerStream
) -> None:
    """Send what the method yields, as fast as the client reads, until either has had enough.

    Raises:
        Exception: whatever the method raises, or an item that cannot be encoded.
    """
    sent = 0
    try:
        async for item in items:
            if stream.cancelled:
                return  # the generator took the cancellation for its own, and went on
            connection.send(StreamItem(invocation_id, item))
            await connection.drained()
            sent += 1
            if sent % _ITEMS_IN_A_ROW == 0:
                # A generator that never waits, for a client that reads fast, would keep the loop for itself.
                await asyncio.sleep(0)
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            with suppress(asyncio.CancelledError):
                await close()
