"""The connections of one hub in this process, and what they have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

from stakewire.clock import Clock
from stakewire.ids import Tokens
from stakewire.net.signalr.auth import Principal
from stakewire.net.signalr.connection import Dispatcher, HubConnection
from stakewire.net.signalr.counts import HubCounts
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.timers import Wheel

_ID_BYTES = 16  # as in .NET: 128 random bits, 22 characters


class Registry:
    """Makes, finds and forgets connections.

    A connection that was negotiated has a secret token, which its client's requests carry as `id`, beside
    the public id, which other clients may see. Negotiation v0 knows one name for both.

    Attributes:
        stopping: no further connection is made.
        counts: what happened so far.
    """

    def __init__(self, options: HubOptions, dispatcher: Dispatcher, clock: Clock, tokens: Tokens) -> None:
        self.options = options
        self.dispatcher = dispatcher
        self.clock = clock
        self.wheel = Wheel(clock.monotonic())
        self.stopping = False
        self.counts = HubCounts()
        self._tokens = tokens
        self._named: dict[str, HubConnection] = {}
        self._unnamed: set[HubConnection] = set()
        self._unclaimed: dict[str, HubConnection] = {}  # negotiated, not used yet; oldest first
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        """There is no place for one more connection."""
        taken = len(self._named) + len(self._unnamed) - len(self._unclaimed)
        return self.stopping or taken >= self.options.max_connections

    @property
    def unclaimed(self) -> int:
        """How many were negotiated and have had no transport yet."""
        return len(self._unclaimed)

    @property
    def idle(self) -> bool:
        """No connection and nothing that they left to do."""
        return not (self._named or self._unnamed or self._tasks)

    def __iter__(self) -> Iterator[HubConnection]:
        """Every connection, negotiated ones included, as of now."""
        yield from tuple(self._named.values())
        yield from tuple(self._unnamed)

    def negotiated(self, principal: Principal, *, version: int, stateful: bool) -> HubConnection:
        """A connection that waits for its transport; if too many do, the oldest of them is forgotten."""
        if len(self._unclaimed) >= self.options.max_negotiated:
            self.forget(self._unclaimed[next(iter(self._unclaimed))])
        connection_id = self._tokens.token(_ID_BYTES)
        token = connection_id if version == 0 else self._tokens.token(_ID_BYTES)
        connection = HubConnection(self, connection_id, token, principal, stateful=stateful)
        self._named[token] = self._unclaimed[token] = connection
        return connection

    def unnegotiated(self, principal: Principal) -> HubConnection:
        """A connection that a WebSocket brings along; no other request can name it."""
        connection = HubConnection(self, self._tokens.token(_ID_BYTES), None, principal, stateful=False)
        self._unnamed.add(connection)
        return connection

    def find(self, token: str) -> HubConnection | None:
        """The connection that a request names."""
        return self._named.get(token)

    def claim(self, connection: HubConnection) -> None:
        """It has its first transport."""
        if connection.token is not None:
            self._unclaimed.pop(connection.token, None)

    def forget(self, connection: HubConnection) -> None:
        """No request can reach it any more."""
        token = connection.token
        if token is None:
            self._unnamed.discard(connection)
        else:
            self._named.pop(token, None)
            self._unclaimed.pop(token, None)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the caller; it is waited for when the hub stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel_work(self) -> None:
        """Stop what `spawn` began."""
        for task in tuple(self._tasks):
            task.cancel()
