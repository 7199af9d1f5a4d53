"""The keep-alive connections to one destination: how many there are, which are idle, who waits for one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from stakewire.net.client_connection import ClientConnection, ConnectionFailed


class Pool:
    """At most `max_connections`, counting busy ones, idle ones and those being made.

    Whoever finds all of them busy waits in line; a connection that becomes free is offered to the
    first in line, and nobody who comes later takes it meanwhile.
    """

    __slots__ = ("_idle", "_idle_seconds", "_max", "_open", "_waiters", "busy")

    def __init__(self, max_connections: int, idle_seconds: float) -> None:
        self._max = max_connections
        self._idle_seconds = idle_seconds
        self._open = 0
        self._idle: list[tuple[float, ClientConnection]] = []
        self._waiters: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self.busy: set[ClientConnection] = set()

    @property
    def at_rest(self) -> bool:
        """Nobody uses, makes or awaits a connection."""
        return not self._waiters and self._open == len(self._idle)

    @property
    def empty(self) -> bool:
        """There is no connection, and nobody wants one."""
        return not self._waiters and self._open == 0

    def take_idle(self, addresses: tuple[str, ...], now: float) -> ClientConnection | None:
        """An idle connection that is alive and leads to one of `addresses`, unless others wait for it."""
        if self._waiters:
            return None
        connection = self._pop_idle(addresses, now)
        if connection is not None:
            self.busy.add(connection)
        return connection

    async def take_or_place(
        self, addresses: tuple[str, ...], now: float, *, fresh: bool
    ) -> ClientConnection | None:
        """Wait for an idle connection, or for a place to make one: then None, and `made` or `leave` follows.

        Raises:
            ConnectionFailed: the pool was closed meanwhile.
        """
        if self._waiters:
            await self._wait()
        while True:
            connection = None if fresh else self._pop_idle(addresses, now)
            if connection is not None:
                self.busy.add(connection)
                break
            if self._open >= self._max and self._idle:
                self._drop(self._idle.pop(0)[1])  # one that does not suit makes room
            if self._open < self._max:
                self._open += 1
                break
            await self._wait()
        self._offer()
        return connection

    def made(self, connection: ClientConnection) -> None:
        """The connection for which a place was taken stands."""
        self.busy.add(connection)

    def leave(self) -> None:
        """The connection for which a place was taken could not be made."""
        self._open -= 1
        self._offer()

    def give_back(self, connection: ClientConnection, now: float) -> None:
        """A request is over: keep its connection if it is clean."""
        self.busy.discard(connection)
        if connection.usable:
            self._idle.append((now, connection))
        else:
            self._drop(connection)
        self._offer()

    def close_old(self, now: float) -> None:
        """Close connections that were idle too long, or that the peer closed."""
        kept = []
        for since, connection in self._idle:
            if connection.usable and now - since < self._idle_seconds:
                kept.append((since, connection))
            else:
                self._drop(connection)
        self._idle = kept
        self._offer()

    def close(self) -> None:
        """Close every connection; whoever waits is told."""
        for connection in (*self.busy, *(connection for _, connection in self._idle)):
            connection.close()
        self._open -= len(self._idle)
        self._idle.clear()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(ConnectionFailed("this client is closed"))

    def _pop_idle(self, addresses: tuple[str, ...], now: float) -> ClientConnection | None:
        idle = self._idle
        while idle:
            since, connection = idle.pop()
            if connection.usable and now - since < self._idle_seconds and connection.address in addresses:
                return connection
            self._drop(connection)
        return None

    def _drop(self, connection: ClientConnection) -> None:
        connection.close()
        self._open -= 1

    async def _wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            del self._waiters[waiter]
            if waiter.done() and not waiter.cancelled():
                self._offer()  # what was offered to us goes to the next in line
            raise
        except ConnectionFailed:
            del self._waiters[waiter]
            raise
        del self._waiters[waiter]

    def _offer(self) -> None:
        """Wake the first in line if there is something to have."""
        if self._waiters and (self._idle or self._open < self._max):
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
                    return
