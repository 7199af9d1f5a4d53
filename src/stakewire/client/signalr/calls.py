"""Calls that wait for the server: invocations for one answer, streams for many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from stakewire.client.signalr.errors import ConnectionLost, HubError, SlowConsumer, TooManyCalls
from stakewire.client.signalr.flow import Backlog, Gate
from stakewire.errors import StakewireError
from stakewire.wire.signalr.messages import Completion, StreamItem


class PendingCall:
    """One invocation: its Completion, or why there is none."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end: asyncio.Future[Completion | StakewireError] = asyncio.get_running_loop().create_future()

    async def completion(self) -> Completion:
        """Wait for it. Raises HubError or ConnectionLost."""
        end = await self._end
        if isinstance(end, StakewireError):
            raise end
        return end

    def item(self, item: StreamItem) -> None:
        """A plain invocation has no items; the Completion that follows says what went wrong."""

    def completed(self, completion: Completion) -> None:
        """The server has answered."""
        if not self._end.done():
            self._end.set_result(completion if completion.error is None else HubError(completion.error))

    def failed(self, error: StakewireError) -> None:
        """No answer will come."""
        if not self._end.done():
            self._end.set_result(error)


class PendingStream:
    """One stream from the server: items in order, at most `max_items` waiting, then its end."""

    __slots__ = (
        "_arrived",
        "_backlog",
        "_cancel",
        "_error",
        "_items",
        "_max",
        "_over",
        "_server_goes_on",
        "_what",
    )

    def __init__(self, what: str, max_items: int, backlog: Backlog, cancel: Callable[[], None]) -> None:
        """`cancel` tells the server to stop; `what` names the stream in errors."""
        self._what = what
        self._cancel = cancel
        self._server_goes_on = True
        self._items: deque[msgspec.Raw] = deque()
        self._max = max_items
        self._backlog = backlog
        self._arrived = Gate()
        self._over = False
        self._error: StakewireError | None = None

    def item(self, item: StreamItem) -> None:
        """One more, unless it is over on this side."""
        if self._over:
            return
        self._items.append(item.item)
        if len(self._items) >= self._max:
            self._backlog.filled(self)
        self._arrived.changed()

    def completed(self, completion: Completion) -> None:
        """The server has ended it."""
        self._server_goes_on = False
        self._end(None if completion.error is None else HubError(completion.error))

    def failed(self, error: StakewireError) -> None:
        """No more will come."""
        self._server_goes_on = False
        self._end(error)

    def close(self) -> None:
        """The loop over it has ended; the server is told, unless it knows."""
        self._end(None)
        if self._server_goes_on:
            self._server_goes_on = False
            self._cancel()

    def stalled(self) -> SlowConsumer | None:
        """See `Stallable`: what has arrived is still given out, then the loop over the stream fails."""
        self._end(
            SlowConsumer(f"the loop over {self._what} took nothing while {self._max} items waited for it")
        )
        self.close()
        return None

    def _end(self, error: StakewireError | None) -> None:
        if not self._over:
            self._over, self._error = True, error
            self._backlog.drained(self)
            self._arrived.changed()

    async def next(self) -> msgspec.Raw | None:
        """The next item; None after the last one. Raises what the stream failed with."""
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._over:
                return None
            await self._arrived.wait()
        item = self._items.popleft()
        self._backlog.drained(self)
        return item


class Calls:
    """All calls that wait, by the ids this side gave them: decimal numbers, shared with its streams."""

    __slots__ = ("_last", "_max", "_waiting")

    def __init__(self, max_pending: int) -> None:
        self._waiting: dict[str, PendingCall | PendingStream] = {}
        self._max = max_pending
        self._last = 0

    def new_id(self) -> str:
        """An id for a call or a stream."""
        self._last += 1
        return str(self._last)

    def add(self, call_id: str, call: PendingCall | PendingStream) -> None:
        """Wait for answers to `call_id`.

        Raises:
            TooManyCalls: as many as allowed wait already.
        """
        if len(self._waiting) >= self._max:
            raise TooManyCalls(f"{self._max} calls wait for answers already; wait for some of them first")
        self._waiting[call_id] = call

    def forget(self, call_id: str) -> None:
        """Whatever still comes for `call_id` is dropped."""
        self._waiting.pop(call_id, None)

    def item(self, item: StreamItem) -> None:
        """Hand an item to its stream; a late one is dropped."""
        if (call := self._waiting.get(item.invocation_id)) is not None:
            call.item(item)

    def completed(self, completion: Completion) -> None:
        """Hand the end to its call; a late one is dropped."""
        if (call := self._waiting.pop(completion.invocation_id, None)) is not None:
            call.completed(completion)

    def connection_lost(self, why: str) -> None:
        """No answers will come."""
        waiting, self._waiting = self._waiting, {}
        for call in waiting.values():
            call.failed(ConnectionLost(why))
