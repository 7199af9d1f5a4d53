"""A hub as an ASGI 3 application, around or inside somebody's app; Granian and uvicorn are tested.

Slower than on the project's own HTTP server: every send is a task's turn of its own, and the server frames
and compresses for each client anew, where ours writes the same bytes to all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from stakewire.net.http import AsgiApp, Message, Receive, Scope, Send
from stakewire.net.http.lifespan import Lifespan
from stakewire.net.signalr.links.asgi import AsgiEventStreamLink, AsgiWebSocketLink, until_client_leaves
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.request import HeaderLines, HubRequest

if TYPE_CHECKING:
    from stakewire.net.signalr.endpoint import HubEndpoint
    from stakewire.net.signalr.links.link import Link, LinkOwner

log = structlog.get_logger("stakewire.net.signalr")

_EVENT_STREAM = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache,no-store"),
    (b"pragma", b"no-cache"),
    (b"content-encoding", b"identity"),
    (b"x-accel-buffering", b"no"),
)
_NO_BODY = frozenset({204, 304})
_POLICY = 1008  # RFC 6455 section 7.4.1
_REFUSES_WITH_AN_ANSWER = "websocket.http.response"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    content_type: bytes
    headers: HeaderLines

    def lines(self) -> list[tuple[bytes, bytes]]:
        """All headers of the answer."""
        if self.status in _NO_BODY:
            return list(self.headers)
        length = b"%d" % len(self.body)
        return [(b"content-type", self.content_type), (b"content-length", length), *self.headers]


class AsgiHubExchange:
    """See `endpoint.HubExchange`; what it was told to do is carried out by the task of its request."""

    __slots__ = ("_options", "decided", "on_lost", "request", "wants_websocket")

    def __init__(self, request: HubRequest, options: HubOptions, *, wants_websocket: bool) -> None:
        self.request = request
        self.wants_websocket = wants_websocket
        self.on_lost: Callable[[], None] | None = None
        self.decided: asyncio.Future[_Answer | AsgiWebSocketLink | AsgiEventStreamLink] = (
            asyncio.get_running_loop().create_future()
        )
        self._options = options

    def respond(self, status: int, body: bytes, content_type: bytes, headers: HeaderLines) -> None:
        """See `endpoint.HubExchange`."""
        if not self.decided.done():
            self.decided.set_result(_Answer(status, body, content_type, headers))

    def open_websocket(self, owner: LinkOwner, headers: HeaderLines, *, compression: bool) -> Link | None:
        """See `endpoint.HubExchange`; whether to compress is the server's own matter."""
        if self.decided.done():
            return None
        link = AsgiWebSocketLink(owner, headers, self._options)
        self.decided.set_result(link)
        return link

    def open_event_stream(self, owner: LinkOwner, headers: HeaderLines) -> Link | None:
        """See `endpoint.HubExchange`."""
        if self.decided.done():
            return None
        link = AsgiEventStreamLink(owner, (*_EVENT_STREAM, *headers), self._options)
        self.decided.set_result(link)
        return link

    def lost(self) -> None:
        """The client has gone before the answer."""
        if not self.decided.done():
            self.decided.cancel()
            if self.on_lost is not None:
                self.on_lost()


class HubApp:
    """Serves one hub to any ASGI server.

    It answers at the hub's own path, also where a part of that is the path of a mount, and hands everything
    else to the app that it stands `around`; without one that is 404.

    The lifespan starts and stops the hub. Frameworks do not pass it on to what is mounted: there the
    application does both (`async with hub`), or else the first request starts the hub, and nobody says
    goodbye to its clients when the server stops. Starlette's `Mount("/hubs/chat", ...)` does not match that
    very path: mount at "/hubs", or better let the hub stand around the app.
    """

    def __init__(
        self,
        endpoint: HubEndpoint,
        *,
        start: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
        around: AsgiApp | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._around = around
        self._start = start
        self._stop = stop
        self._starting = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        path = self._path(scope) if kind in ("http", "websocket") else None
        if path is None:
            await (self._around or _nobody)(scope, receive, send)
            return
        await self._be_started()
        if kind == "http":
            await self._http(path, scope, receive, send)
        else:
            await self._websocket(path, scope, receive, send)

    async def _be_started(self) -> None:
        if not self._endpoint.started:
            async with self._starting:
                if not self._endpoint.started:
                    await self._start()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = Lifespan(self._around or _nobody, scope.setdefault("state", {}))
        for step, acts in (
            ("startup", (self._be_started, inner.start)),
            ("shutdown", (self._stop, inner.stop)),
        ):
            await receive()
            try:
                for act in acts:
                    await act()
            except Exception as error:
                log.exception("hub failed", step=step)
                await send({"type": f"lifespan.{step}.failed", "message": str(error)})
                return
            await send({"type": f"lifespan.{step}.complete"})

    async def _http(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive, self._endpoint.options.max_batch_bytes)
        if body is None:
            await _answer(send, _Answer(413, b"The body is too large", b"text/plain", ()))
            return
        exchange = self._exchange(scope, path, body)
        self._endpoint.handle(exchange)
        if not exchange.decided.done() and not await _decided_before_leaving(exchange, receive):
            return
        decided = exchange.decided.result()
        if isinstance(decided, _Answer):
            await _answer(send, decided)
        else:
            await decided.run(receive, send)

    async def _websocket(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        exchange = self._exchange(scope, path, b"")
        self._endpoint.handle(exchange)
        try:
            decided = await exchange.decided
        finally:
            exchange.lost()
        if isinstance(decided, _Answer):
            await _refuse(scope, send, decided)
        else:
            await decided.run(receive, send)

    def _path(self, scope: Scope) -> str | None:
        """The path as the hub knows it; None if it is not the hub's."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        inner = path.removeprefix(root)
        for candidate in (path, inner, self._endpoint.path + inner if root else inner):
            if self._endpoint.serves(candidate):
                return candidate
        return None

    def _exchange(self, scope: Scope, path: str, body: bytes) -> AsgiHubExchange:
        headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        client = scope.get("client")
        websocket = scope["type"] == "websocket"
        request = HubRequest(
            "GET" if websocket else scope["method"],
            path,
            bytes(scope.get("query_string", b"")).decode("latin-1"),
            headers,
            body,
            client[0] if client else "",
        )
        return AsgiHubExchange(request, self._endpoint.options, wants_websocket=websocket)


async def _decided_before_leaving(exchange: AsgiHubExchange, receive: Receive) -> bool:
    """Wait for the hub's decision, or for the client to go; whether the decision came first."""
    leaving = asyncio.ensure_future(until_client_leaves(receive))
    leaving.add_done_callback(lambda _: exchange.lost())
    try:
        await asyncio.wait([exchange.decided])
        return not exchange.decided.cancelled()
    finally:
        leaving.cancel()
        exchange.lost()


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """The application around which there is none."""
    nothing = _Answer(404, b"There is no such path", b"text/plain", ())
    if scope["type"] == "http":
        await _answer(send, nothing)
    elif scope["type"] == "websocket":
        await _refuse(scope, send, nothing)
    else:
        raise RuntimeError(f"a hub does not serve {scope['type']}")


async def _body(receive: Receive, limit: int) -> bytes | None:
    """The complete body; None if it has more than `limit` bytes, or the client has gone."""
    parts: list[bytes] = []
    room = limit
    while True:
        message: Message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        room -= len(part)
        if room < 0:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _answer(send: Send, answer: _Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.lines()})
    await send({"type": "http.response.body", "body": b"" if answer.status in _NO_BODY else answer.body})


async def _refuse(scope: Scope, send: Send, answer: _Answer) -> None:
    """Refuse an upgrade; a server without the extension for that answers 403, whatever the reason."""
    if _REFUSES_WITH_AN_ANSWER not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _POLICY})
        return
    start = {"type": "websocket.http.response.start", "status": answer.status, "headers": answer.lines()}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": answer.body})
