"""One keep-alive connection of the callback client: bytes out, one answer in, nothing left over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

import httptools


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """Bounds of an answer, in bytes; framing of chunked bodies counts into the headers' share."""

    body_bytes: int = 64 * 1024
    header_bytes: int = 16 * 1024


class ConnectionFailed(Exception):
    """No complete answer; the text says why. The connection is closed."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """Status, headers (names in lower case) and body of one answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class ClientConnection(asyncio.Protocol):
    """Sends one request at a time and reads its answer, which is hostile input.

    Attributes:
        address: the IP address at the other end.
        usable: open, at rest, and nothing has come that nobody asked for.
    """

    def __init__(self, address: str, limits: AnswerLimits) -> None:
        self.address = address
        self.usable = False
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[RawAnswer] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._size = self._received = 0
        self._status = 0
        self._framed = self._head_done = False

    async def exchange(self, data: bytes, timeout: float) -> RawAnswer:
        """Send a complete request and return its answer.

        Raises:
            ConnectionFailed: none came within `timeout` seconds, or not a proper one.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionFailed("the peer closed the connection")
        self.usable = False
        self._size = self._received = 0
        self._body = []
        waiter: asyncio.Future[RawAnswer] = self._loop.create_future()
        self._waiter = waiter
        timer = self._loop.call_later(max(0.0, timeout), self._fail, "no answer came in time")
        transport.write(data)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            timer.cancel()
            self._waiter = None

    def close(self) -> None:
        """Close at once; an answer that is awaited fails."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()
        self._reject("the connection was closed")

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self._fail("the peer sent something that nobody asked for")
            return
        self._received += len(data)
        parser = self._parser
        if parser is None:
            return
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the peer changed the protocol")
        except httptools.HttpParserError as error:
            cause = error.__context__
            said = str(cause) if isinstance(cause, ConnectionFailed) else "this is not a valid HTTP answer"
            self._fail(said)
        else:
            limits = self._limits
            if self._received > 4 * (limits.body_bytes + limits.header_bytes):
                self._fail("the answer is too large")

    def eof_received(self) -> bool:
        """The peer ended its half: the end of an answer that has no length, or a broken connection."""
        self.usable = False
        if self._head_done and not self._framed:
            self._complete()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._transport = None
        self._parser = None
        self._reject("the connection broke before the answer was complete")

    def _fail(self, why: str) -> None:
        self._reject(why)
        self.close()

    def _reject(self, why: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionFailed(why))

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():
            raise ConnectionFailed("a second answer came")
        self._headers = []
        self._head_done = self._framed = False

    def on_header(self, name: bytes, value: bytes | None) -> None:
        value = b"" if value is None else value
        self._size += len(name) + len(value)
        if self._size > self._limits.header_bytes:
            raise ConnectionFailed("the answer's header is too large")
        if self._head_done:
            return  # a trailer
        name = name.lower()
        if name == b"content-length" or name == b"transfer-encoding":
            self._framed = True
        self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._status = status = self._parser.get_status_code()
        if status == 101:
            raise ConnectionFailed("the peer changed the protocol")
        if status >= 200:
            self._head_done = True
            if status in (204, 304):
                self._framed = True

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limits.body_bytes + self._limits.header_bytes:
            raise ConnectionFailed("the answer is too large")
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._status < 200:
            return  # 100 and 103 come before the answer
        assert self._parser is not None
        keep = self._parser.should_keep_alive()
        self._complete()
        self.usable = keep

    def _complete(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._head_done = False
        if len(body) > self._limits.body_bytes:
            self._fail("the answer is too large")
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(RawAnswer(self._status, self._headers, body))
