"""The routes of one hub: negotiate, WebSocket, event stream, polls, POSTs (TransportProtocols.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from stakewire.clock import Clock
from stakewire.errors import Unauthorized
from stakewire.ids import Tokens
from stakewire.net.http import DirectExchange, DirectHandler, Request
from stakewire.net.signalr.auth import Authenticate, Principal, anonymous
from stakewire.net.signalr.connection import Dispatcher, HubConnection
from stakewire.net.signalr.cors import Origins, preflight
from stakewire.net.signalr.counts import CloseReason
from stakewire.net.signalr.direct import DirectHubExchange
from stakewire.net.signalr.links.link import Link, LinkOwner
from stakewire.net.signalr.links.polling import PollingLink
from stakewire.net.signalr.negotiate import ChooseServer, Negotiator
from stakewire.net.signalr.options import LONG_POLLING, SERVER_SENT_EVENTS, WEB_SOCKETS, HubOptions
from stakewire.net.signalr.registry import Registry
from stakewire.net.signalr.request import HeaderLines, HubRequest
from stakewire.wire.signalr.shared import Variant
from stakewire.wire.websocket.handshake import deflate_offer

log = structlog.get_logger("stakewire.net.signalr")

_SWEEP_SECONDS = 1.0
_JSON, _TEXT, _BINARY = b"application/json", b"text/plain", b"application/octet-stream"
_NEGOTIATE = "/negotiate"
_PATHS = frozenset({"", "/", _NEGOTIATE})
_NO_CACHE = ((b"cache-control", b"no-cache, no-store"), (b"pragma", b"no-cache"))
_CHALLENGE = ((b"www-authenticate", b"Bearer"),)
_ALLOW = ((b"allow", b"GET, POST, DELETE, OPTIONS"),)
_ALLOW_POST = ((b"allow", b"POST, OPTIONS"),)


class HubExchange(Protocol):
    """One request to a hub and the ways of answering it: the seam between a hub and the server it is on.

    Exactly one of `respond`, `open_websocket` and `open_event_stream` is called, at once or later.

    Attributes:
        request: complete, its body included.
        on_lost: called if the client goes before the answer.
    """

    on_lost: Callable[[], None] | None

    @property
    def request(self) -> HubRequest: ...

    @property
    def wants_websocket(self) -> bool:
        """The request is a WebSocket upgrade."""
        ...

    def respond(self, status: int, body: bytes, content_type: bytes, headers: HeaderLines) -> None:
        """Answer; after the client has gone it does nothing."""

    def open_websocket(self, owner: LinkOwner, headers: HeaderLines, *, compression: bool) -> Link | None:
        """Accept the upgrade; None if it is not in order, which has been answered, or the client gone."""

    def open_event_stream(self, owner: LinkOwner, headers: HeaderLines) -> Link | None:
        """Answer 200 with an event stream and its first comment; None if the client is gone."""


class HubEndpoint:
    """One hub at one path, for `HttpServer(find_direct=...)` or, through `handle`, for any other server.

    `docs/reference/signalr.md` lists the statuses. Every request is authenticated; those that name a
    connection must come from the user who negotiated it.

    Attributes:
        path: the hub's, raw, without a slash at its end.
        connections: what is connected or may still connect.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        path: str,
        clock: Clock,
        tokens: Tokens,
        options: HubOptions | None = None,
        authenticate: Authenticate = anonymous,
        choose_server: ChooseServer | None = None,
    ) -> None:
        """Bind a dispatcher to a path, such as "/hubs/chat".

        Args:
            choose_server: sends clients that negotiate elsewhere, for example to a worker of their own.
        """
        self.options = options or HubOptions()
        self.connections = Registry(self.options, dispatcher, clock, tokens)
        self.path = path.rstrip("/")
        self._clock = clock
        self._authenticate = authenticate
        self._origins = Origins(self.options.allowed_origins)
        self._negotiator = Negotiator(self.connections, choose_server)
        self._timer: asyncio.TimerHandle | None = None

    # Life.

    @property
    def started(self) -> bool:
        """It watches over deadlines, or has done so and was stopped."""
        return self._timer is not None

    def start(self) -> None:
        """Begin to watch over deadlines, once a second; from the event loop."""
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._tick)

    def sweep(self) -> None:
        """Act on every deadline that has passed; runs by itself after `start`."""
        self.connections.wheel.sweep(self._clock.monotonic())

    async def stop(self, grace_seconds: float) -> None:
        """Take no further connection, close all with allowReconnect, cut what is left in the end."""
        connections = self.connections
        connections.stopping = True
        for connection in connections:
            connection.close(allow_reconnect=True, reason=CloseReason.STOPPING)
        await self._all_gone(grace_seconds)
        for connection in connections:
            connection.abort()
        connections.cancel_work()
        if self._timer is not None:
            self._timer.cancel()

    async def _all_gone(self, within: float) -> None:
        """Wait for the last connection, but not for ever.

        Connections end in callbacks of the event loop, so a look every few milliseconds suffices.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while not self.connections.idle:
            if loop.time() >= end:
                return
            await asyncio.sleep(0.005)

    def _tick(self) -> None:
        self.sweep()
        self.start()

    # Requests.

    def find_direct(self, method: str, path: str) -> DirectHandler | None:
        """The handler of the project's own HTTP server for a raw path; None if it is not the hub's."""
        return self._handle_direct if self.serves(path) else None

    def serves(self, path: str) -> bool:
        """Whether this path is one of the hub's: its own, with or without a slash, or negotiation's."""
        return path.startswith(self.path) and path[len(self.path) :] in _PATHS

    def _handle_direct(self, request: Request, exchange: DirectExchange) -> None:
        self.handle(DirectHubExchange(request, exchange, self.options))

    def handle(self, exchange: HubExchange) -> None:
        """Answer a request to this hub, now or later."""
        request = exchange.request
        cors = self._origins.headers(request)
        if cors is None:
            exchange.respond(403, b"This origin may not use the hub", _TEXT, ())
            return
        if request.method == "OPTIONS":
            exchange.respond(204, b"", _TEXT, (*cors, *preflight(request)))
            return
        try:
            who = self._authenticate(request)
        except Unauthorized as error:
            _refuse(exchange, cors, error)
            return
        if isinstance(who, Principal):
            self._route(exchange, cors, who)
        else:
            self.connections.spawn(self._authenticated(exchange, cors, who))

    async def _authenticated(
        self, exchange: HubExchange, cors: HeaderLines, who: Awaitable[Principal]
    ) -> None:
        try:
            async with asyncio.timeout(self.options.handshake_seconds):
                principal = await who
        except Unauthorized as error:
            _refuse(exchange, cors, error)
        except TimeoutError:
            exchange.respond(503, b"Authentication took too long", _TEXT, cors)
        except Exception:
            log.exception("authentication failed", path=exchange.request.path)
            exchange.respond(500, b"The request could not be handled", _TEXT, cors)
        else:
            self._route(exchange, cors, principal)

    def _route(self, exchange: HubExchange, cors: HeaderLines, principal: Principal) -> None:
        request = exchange.request
        method = request.method
        if request.path.endswith(_NEGOTIATE):
            if method == "POST":
                self._negotiate(exchange, cors, principal)
            else:
                exchange.respond(405, b"", _TEXT, (*cors, *_ALLOW_POST))
        elif method == "GET" and exchange.wants_websocket:
            self._websocket(exchange, cors, principal)
        elif method not in ("GET", "POST", "DELETE"):
            exchange.respond(405, b"", _TEXT, (*cors, *_ALLOW))
        else:
            connection = self._named(exchange, cors, principal)
            if connection is None:
                return
            if method == "POST":
                self._post(exchange, cors, connection)
            elif method == "DELETE":
                self._delete(exchange, cors, connection)
            elif b"text/event-stream" in (request.header(b"accept") or b""):
                self._event_stream(exchange, cors, connection)
            else:
                self._poll(exchange, cors, connection)

    def _named(self, exchange: HubExchange, cors: HeaderLines, principal: Principal) -> HubConnection | None:
        """The connection that a request names, if it is there and the same user's; else it is answered."""
        token = exchange.request.parameter("id")
        if not token:
            exchange.respond(400, b"Connection ID required", _TEXT, cors)
            return None
        connection = self.connections.find(token)
        if connection is None:
            exchange.respond(404, b"No Connection with that ID", _TEXT, cors)
            return None
        if connection.principal.user_id != principal.user_id:
            exchange.respond(403, b"This connection belongs to another user", _TEXT, cors)
            return None
        connection.renew(principal)
        return connection

    def _negotiate(self, exchange: HubExchange, cors: HeaderLines, principal: Principal) -> None:
        if self.connections.full:
            _say_full(exchange, cors)
        else:
            exchange.respond(200, self._negotiator.answer(exchange.request, principal), _JSON, cors)

    def _websocket(self, exchange: HubExchange, cors: HeaderLines, principal: Principal) -> None:
        if not self._offers(WEB_SOCKETS, exchange, cors):
            return
        if exchange.request.parameter("id"):
            connection = self._named(exchange, cors, principal)
            if connection is None:
                return
            if connection.resumable:
                self._resume(exchange, cors, connection)
                return
            if not self._fits(WEB_SOCKETS, exchange, cors, connection):
                return
        elif self.connections.full:
            _say_full(exchange, cors)
            return
        else:
            connection = self.connections.unnegotiated(principal)
        link = exchange.open_websocket(connection, cors, compression=self.options.compression)
        if link is not None:
            connection.attach(link)
        elif connection.token is None:
            self.connections.forget(connection)

    def _resume(self, exchange: HubExchange, cors: HeaderLines, connection: HubConnection) -> None:
        compressed = connection.variant is Variant.WS_JSON_DEFLATE
        if compressed and deflate_offer(exchange.request.headers) is None:
            # What has to be sent again is compressed, and this WebSocket could not carry it.
            exchange.respond(404, b"No Connection with that ID", _TEXT, cors)
            return
        link = exchange.open_websocket(connection, cors, compression=compressed)
        if link is not None:
            connection.resume(link)

    def _event_stream(self, exchange: HubExchange, cors: HeaderLines, connection: HubConnection) -> None:
        if self._offers(SERVER_SENT_EVENTS, exchange, cors) and self._fits(
            SERVER_SENT_EVENTS, exchange, cors, connection
        ):
            link = exchange.open_event_stream(connection, cors)
            if link is not None:
                connection.attach(link)

    def _poll(self, exchange: HubExchange, cors: HeaderLines, connection: HubConnection) -> None:
        if not self._offers(LONG_POLLING, exchange, cors):
            return
        link = connection.link
        if link is None and self._fits(LONG_POLLING, exchange, cors, connection):
            link = self._begin_polling(connection)
        if isinstance(link, PollingLink):
            link.poll(_HeldPoll(exchange, cors), self._clock.monotonic())
        elif link is not None:
            self._fits(LONG_POLLING, exchange, cors, connection)

    def _begin_polling(self, connection: HubConnection) -> PollingLink:
        link = PollingLink(connection, self.options)
        connection.attach(link)
        return link

    def _post(self, exchange: HubExchange, cors: HeaderLines, connection: HubConnection) -> None:
        link: Link | None = connection.link
        if connection.waits and LONG_POLLING in self.options.transports:
            # signalrcore sends its handshake before its first poll; .NET's server takes it, too.
            link = self._begin_polling(connection)
        if connection.closed:
            exchange.respond(404, b"No Connection with that ID", _TEXT, cors)
        elif connection.waits:
            exchange.respond(400, b"The connection has no transport yet", _TEXT, cors)
        elif link is None or not link.post(
            exchange.request.body, lambda status: exchange.respond(status, b"", _TEXT, cors)
        ):
            exchange.respond(405, b"POST is not allowed for this transport", _TEXT, cors)

    def _delete(self, exchange: HubExchange, cors: HeaderLines, connection: HubConnection) -> None:
        if not isinstance(connection.link, PollingLink):
            exchange.respond(400, b"Only long polling is ended by DELETE", _TEXT, cors)
            return
        connection.abort()
        exchange.respond(202, b"", _TEXT, cors)

    def _offers(self, kind: str, exchange: HubExchange, cors: HeaderLines) -> bool:
        if kind in self.options.transports:
            return True
        exchange.respond(404, b"This hub does not offer that transport", _TEXT, cors)
        return False

    def _fits(self, kind: str, exchange: HubExchange, cors: HeaderLines, connection: HubConnection) -> bool:
        """Whether a transport of this kind may begin now; else it is answered why not."""
        link = connection.link
        if connection.waits:
            return True
        if connection.closed or link is None:
            exchange.respond(404, b"No Connection with that ID", _TEXT, cors)
        elif link.kind != kind:
            exchange.respond(400, b"Cannot change transports mid-connection", _TEXT, cors)
        else:
            exchange.respond(409, b"The connection has a transport already", _TEXT, cors)
        return False


class _HeldPoll:
    """A poll that waits for news; see `polling.Poll`."""

    __slots__ = ("_cors", "_exchange")

    def __init__(self, exchange: HubExchange, cors: HeaderLines) -> None:
        self._exchange = exchange
        self._cors = cors

    @property
    def on_lost(self) -> Callable[[], None] | None:
        return self._exchange.on_lost

    @on_lost.setter
    def on_lost(self, tell: Callable[[], None] | None) -> None:
        self._exchange.on_lost = tell

    def answer(self, status: int, body: bytes) -> None:
        self._exchange.respond(status, body, _BINARY, (*self._cors, *_NO_CACHE))


def _refuse(exchange: HubExchange, cors: HeaderLines, error: Unauthorized) -> None:
    exchange.respond(401, error.message.encode(), _TEXT, (*cors, *_CHALLENGE))


def _say_full(exchange: HubExchange, cors: HeaderLines) -> None:
    exchange.respond(503, b"This hub has no free place; try again later", _TEXT, cors)
