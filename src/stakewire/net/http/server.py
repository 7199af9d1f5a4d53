"""The HTTP server of every side: hot routes by the short way, an ASGI app for all the others."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

import structlog

from stakewire.clock import Clock
from stakewire.net.http.connection import Connection
from stakewire.net.http.lifespan import Lifespan
from stakewire.net.http.limits import HttpLimits
from stakewire.net.http.metrics import HttpMetrics
from stakewire.net.http.shared import AsgiApp, DirectHandler, FindDirect, FindHot, Shared
from stakewire.net.proxy import Network, TrustedProxies

log = structlog.get_logger("stakewire.net.http")

_BACKLOG = 4096  # thousands of browsers come back at once when a hub's process was restarted


def _no_direct_routes(method: str, path: str) -> DirectHandler | None:
    return None


class HttpServer:
    """Serves HTTP/1.1 on sockets that were bound before (`stakewire.net.sockets.bind`).

    `find_hot(method, path)` is asked for every request; where it knows a handler, the request is
    read completely and handed over in one call. Then `find_direct` is asked, whose handlers get the complete
    request, too, and may answer later, with headers of their own, or take the connection over; those
    connections are theirs to end at a stop. All others go to `app`, with streams both ways.
    """

    def __init__(
        self,
        *,
        app: AsgiApp,
        find_hot: FindHot,
        find_direct: FindDirect = _no_direct_routes,
        limits: HttpLimits,
        trusted_proxies: Sequence[Network],
        clock: Clock,
        metrics: HttpMetrics | None = None,
    ) -> None:
        self._app = app
        self._find_hot = find_hot
        self._find_direct = find_direct
        self._limits = limits
        self._proxies = TrustedProxies(trusted_proxies)
        self._clock = clock
        self._metrics = metrics.listener() if metrics is not None else None
        self._shared: Shared | None = None
        self._lifespan: Lifespan | None = None
        self._listeners: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def open_connections(self) -> int:
        """How many clients are connected now, taken-over connections included."""
        return self._shared.open_connections() if self._shared else 0

    async def start(self, sock: socket.socket, ssl_context: ssl.SSLContext | None = None) -> None:
        """Listen on `sock`; the first call also starts the app. Call again for a further socket.

        Raises:
            ConfigError: the app's own start failed.
        """
        loop = asyncio.get_running_loop()
        if self._shared is None:
            shared = Shared(
                app=self._app,
                find_hot=self._find_hot,
                find_direct=self._find_direct,
                limits=self._limits,
                proxies=self._proxies,
                clock=self._clock,
                loop=loop,
            )
            self._lifespan = Lifespan(self._app, shared.state)
            await self._lifespan.start()
            self._shared = shared
            self._tick()
        handshake = self._limits.header_seconds if ssl_context is not None else None
        self._listeners.append(
            await loop.create_server(
                self._connect, sock=sock, ssl=ssl_context, ssl_handshake_timeout=handshake, backlog=_BACKLOG
            )
        )

    async def stop(self, grace_seconds: float) -> None:
        """Take no further connection, answer what has come, cut what is left after `grace_seconds`.

        Event streams are ended at once: they have no end of their own, and their clients come back.
        """
        shared = self._shared
        if shared is None:
            return
        shared.stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in tuple(shared.connections):
            connection.server_stops()
        if not await self._all_gone(grace_seconds):
            log.warning("connections cut at stop", count=len(shared.connections))
            for connection in tuple(shared.connections):
                connection.abort()
            for task in tuple(shared.tasks):
                task.cancel()
            await self._all_gone(1.0)
        if self._timer is not None:
            self._timer.cancel()
        if self._lifespan is not None:
            await self._lifespan.stop()
        self._show(shared)
        self._shared = None
        self._listeners.clear()

    def sweep(self) -> None:
        """End connections whose time is over, and renew the date of the answers; runs by itself."""
        shared = self._shared
        assert shared is not None
        shared.heads.set_date(self._clock.now())
        now = self._clock.monotonic()
        received_until = now - self._limits.answer_seconds
        for connection in tuple(shared.connections):
            if connection.read_deadline <= now or connection.write_deadline <= now:
                connection.time_is_over(now)
            elif connection.queue:
                connection.give_up(received_until)
        self._show(shared)

    def _show(self, shared: Shared) -> None:
        if self._metrics is not None:
            taken = shared.places.taken
            self._metrics.update(http=len(shared.connections), taken_over=taken, refused=shared.refused)

    def _connect(self) -> Connection:
        assert self._shared is not None
        return Connection(self._shared)

    def _tick(self) -> None:
        assert self._shared is not None
        self.sweep()
        self._timer = self._shared.loop.call_later(self._limits.sweep_seconds(), self._tick)

    async def _all_gone(self, within: float) -> bool:
        """Wait for the last connection and task; false if time runs out first.

        Connections end in callbacks of the event loop, so a look every few milliseconds suffices.
        """
        shared = self._shared
        assert shared is not None
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while shared.connections or shared.tasks:
            if loop.time() >= end:
                return False
            await asyncio.sleep(0.005)
        return True
