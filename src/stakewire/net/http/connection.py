"""One connection: whose turn it is to answer, and how it ends; what arrives is `incoming.py`'s."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol, cast

import structlog

from stakewire.net.http.asgi import AsgiExchange
from stakewire.net.http.direct import DirectExchange
from stakewire.net.http.hot import HotExchange, Refusal
from stakewire.net.http.incoming import AWAIT_REQUEST, IN_HEADER, KEPT, OVER, Incoming
from stakewire.net.http.request import Request, RequestRefused
from stakewire.net.http.response import CLOSE, JSON, error_body
from stakewire.net.http.shared import Respond, Shared
from stakewire.net.http.takeover import TakenOver

_IDENTITY = (b"", b"identity")

log = structlog.get_logger("stakewire.net.http")


class _Handler(Protocol):
    """A `HotHandler`, seen as what has this method."""

    def __call__(self, request: Request, respond: Respond, /) -> None: ...


class Connection(Incoming):
    """Lets requests be handled, and writes their answers in the order of the requests."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._peer = ""
        self._trusted_peer = False
        self._closing = self._lingers = False
        self._request = cast(Request, None)  # set by `begin`, read by `part` and `end` only
        self._handler = cast(_Handler, None)
        self._parts: list[bytes] | None = None

    # Its beginning and its end.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)
        shared = self.shared
        transport.set_write_buffer_limits(high=shared.limits.write_buffer_bytes)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0].removeprefix("::ffff:") if isinstance(peer, tuple) else ""
        self._trusted_peer = shared.proxies.trusts(self._peer)
        self._now = self._monotonic()
        self.read_deadline = self._now + shared.limits.idle_seconds
        others = shared.open_connections()
        shared.connections.add(self)
        if others >= shared.limits.connections:
            if others > shared.limits.connections * 1.1 + 16:
                shared.count_refused("TOO_MANY_CONNECTIONS")
                transport.abort()
                return
            self._refuse(RequestRefused(503, "TOO_MANY_CONNECTIONS", "this server has no free connection"))

    def eof_received(self) -> bool:
        """The client ended its half; it may still want the answers of hot requests, which are quick."""
        self._input = OVER
        if not self.queue or any(exchange.streams for exchange in self.queue):
            return False
        self._closing = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._let_go()

    # What the reader tells (RequestSink).

    def begin(self, request: Request) -> int:
        shared = self.shared
        request.received_at = self._now
        request.peer = self._peer
        self._owes_continue = request.expects_continue
        scheme = None
        if self._trusted_peer:
            request.peer, scheme = shared.proxies.client(self._peer, request.headers)
        self._request = request
        handler = shared.find_hot(request.method, request.path)
        if handler is not None:
            encoding = request.content_encoding
            if encoding is not None and encoding.lower() not in _IDENTITY:
                raise RequestRefused(415, "UNSUPPORTED_ENCODING", "send the body without content-encoding")
            self._handler = handler
            return shared.limits.hot_body_bytes
        assert self._transport is not None
        exchange: AsgiExchange | DirectExchange
        direct = shared.find_direct(request.method, request.path)
        if direct is None:
            exchange, limit = (
                AsgiExchange(self, self._transport, request, scheme),
                shared.limits.app_body_bytes,
            )
        else:
            exchange, limit = DirectExchange(self, request, direct), shared.limits.direct_body_bytes
            self._reader.stops_at_upgrade = request.upgrade is not None and request.content_length == 0
        self._arriving = exchange
        self.queue.append(exchange)
        if self.queue[0] is exchange:
            exchange.lead()
        return limit

    def part(self, data: bytes) -> None:
        request = self._request
        if self._arriving is not None:
            self._arriving.feed(data)
        elif not request.body:
            request.body = data
        elif self._parts is None:
            self._parts = [request.body, data]
        else:
            self._parts.append(data)

    def end(self) -> None:
        request = self._request
        self._stage = AWAIT_REQUEST
        if not request.keep_alive:
            self._input = OVER
        arrived = self._arriving
        if arrived is not None:
            self._arriving = None
            arrived.end()
            return
        if self._parts is not None:
            request.body = b"".join(self._parts)
            self._parts = None
        exchange = HotExchange(self, request)
        self.queue.append(exchange)
        try:
            # Methods both ways: to call an object that has __call__ costs three times as much.
            self._handler.__call__(request, exchange.respond)
        except Exception:
            log.exception("hot handler failed", path=request.path)
            if exchange.answer is None:
                exchange.respond(500, error_body("INTERNAL_ERROR", "the request could not be handled"))

    # Answering.

    def ends_with(self, exchange: object) -> bool:
        """Whether `exchange` is the last that a stopping server answers here."""
        return self.shared.stopping and self.queue[-1] is exchange and not self._reader.mid_message

    def advance(self) -> None:
        """Write every answer whose turn has come, and let the next request begin its own."""
        queue, out = self.queue, self._out
        while queue:
            exchange = queue[0]
            answer = exchange.answer
            if answer is None:
                exchange.lead()
                break
            queue.popleft()
            if answer:
                out.append(answer)
            if exchange.closes:
                self._end_after_this()
                break
        if not self._reading:
            self._flush(self._monotonic())

    def _end_after_this(self) -> None:
        self._input, self._closing = OVER, True
        for exchange in self.queue:
            exchange.lost()
        self.queue.clear()

    def _flush(self, now: float) -> None:
        transport, out = self._transport, self._out
        if transport is None:
            return
        if out:
            transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
        if self.queue:
            if self._held:
                self.update_hold()
        elif self._closing:
            self._close(transport, now)
        elif not self._reader.mid_message:
            self.read_deadline = now + self.shared.limits.idle_seconds
            if self._held:
                self.update_hold()
            if self.shared.stopping:
                transport.close()
        elif self._owes_continue:
            self._say_continue()

    def _close(self, transport: asyncio.Transport, now: float) -> None:
        """Close; after a refusal linger, since to close over unread bytes destroys the answer on its way."""
        self._input = OVER
        if not self._lingers:
            transport.close()
            return
        self.read_deadline = now + self.shared.limits.linger_seconds
        self._stage = AWAIT_REQUEST
        if self._held:
            self._held = False
            transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()

    def _refuse(self, refused: RequestRefused) -> None:
        """Answer what cannot be handled, after the answers that are still due, and end the connection."""
        if self._input == OVER:
            return  # what follows a `connection: close` is nobody's request
        self.shared.count_refused(refused.code)
        self._input, self._lingers = OVER, True
        self._reader.mid_message = False
        arriving, self._arriving = self._arriving, None
        answer = self.shared.heads.whole(
            refused.status, error_body(refused.code, refused.message), JSON, CLOSE, head_only=False
        )
        if arriving is None:
            self.queue.append(Refusal(answer))
        elif not arriving.refuse(answer):
            self.abort()
            return
        elif arriving not in self.queue:
            self._closing = True
        self.advance()

    # Leaving.

    def hand_over(self, protocol: TakenOver, head: bytes) -> asyncio.Transport:
        """Write what is due, then `head`; from here on the connection is `protocol`'s."""
        transport = self._transport
        assert transport is not None
        self._heir = protocol
        transport.write(b"".join((*self._out, head)))
        early, paused = self._backlog if self._input == KEPT else b"", self.write_paused
        if self._held:
            transport.resume_reading()
        self.queue.popleft()
        self._let_go()
        protocol.occupy(self.shared.places)
        transport.set_protocol(protocol)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.shared.limits.taken_over_send_bytes)
        protocol.connection_made(transport)
        if paused:
            protocol.pause_writing()
        if early:
            # Later, so that who takes over is ready; and nothing that comes then may overtake it.
            transport.pause_reading()
            self.shared.loop.call_soon(_pass_on, transport, protocol, early)
        return transport

    def _let_go(self) -> None:
        self._transport = None
        self._input = OVER
        self._backlog = b""
        self._out.clear()
        self.shared.connections.discard(self)
        self._reader.close()
        for exchange in self.queue:
            exchange.lost()
        self.queue.clear()
        if self._arriving is not None:
            self._arriving.lost()
        self._wake_writers()

    # For the server.

    def time_is_over(self, now: float) -> None:
        """The sweep found a deadline in the past."""
        if self._closing or self.write_deadline <= now:
            self.abort()
        elif self._stage == AWAIT_REQUEST:
            self._transport_close()
        else:
            what = "header" if self._stage == IN_HEADER else "body"
            self._refuse(RequestRefused(408, "REQUEST_TIMEOUT", f"the {what} of the request took too long"))

    def give_up(self, received_until: float) -> None:
        """The sweep: whose turn it is has waited for its hot handler since then, or longer."""
        first = self.queue[0]
        if isinstance(first, HotExchange) and first.give_up(received_until):
            self.shared.count_refused("ANSWER_TIMEOUT")

    def server_stops(self) -> None:
        """Close if idle; otherwise the answers that are due are written first."""
        for exchange in tuple(self.queue):
            exchange.server_stops()
        if self._closing:
            if not self.queue:
                self.abort()  # it lingers, with nothing more to say
        elif not self.queue and not self._reader.mid_message:
            self._transport_close()

    def abort(self) -> None:
        """Cut the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def _transport_close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _pass_on(transport: asyncio.Transport, protocol: TakenOver, early: bytes) -> None:
    if not transport.is_closing():
        transport.resume_reading()
        protocol.data_received(early)
