"""Bytes in, requests out: the reading half of an HTTP/1.1 connection, without its socket.

httptools (llhttp) knows the grammar; this file and `request.py` add what makes a request safe to act
on: sizes, exactly one Host, exactly one framing of the body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol

import httptools

from stakewire.net.http.limits import HttpLimits
from stakewire.net.http.request import ONCE, Request, RequestRefused, frame, split_target


class RequestSink(Protocol):
    """Who is told of requests while they arrive; may raise RequestRefused from `begin`."""

    def begin(self, request: Request) -> int:
        """The header is complete; return how many bytes of body are welcome."""

    def part(self, data: bytes) -> None:
        """The next piece of the body."""

    def end(self) -> None:
        """The request that began last is complete."""


class Upgrade(Exception):
    """A request that asks to upgrade is complete; `rest` came behind it and is nobody's yet."""

    def __init__(self, rest: bytes) -> None:
        super().__init__()
        self.rest = rest


class RequestReader:
    """Feeds on whatever arrived and tells a sink; one per connection, for its whole life.

    Attributes:
        mid_message: a request has begun and is not complete.
        in_header: its header is not complete.
        stops_at_upgrade: set by the sink in `begin` if this request's route can upgrade: `feed` ends with it.
    """

    __slots__ = (
        "_begin",
        "_body_limit",
        "_body_size",
        "_end",
        "_fed",
        "_headers",
        "_limits",
        "_parser",
        "_part",
        "_raw_left",
        "_refused",
        "_target",
        "in_header",
        "mid_message",
        "stops_at_upgrade",
    )

    def __init__(self, sink: RequestSink, limits: HttpLimits) -> None:
        self._begin: Callable[[Request], int] = sink.begin
        self._part: Callable[[bytes], None] = sink.part
        self._end: Callable[[], None] = sink.end
        self._limits = limits
        self._refused: RequestRefused | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._fed = self._body_size = self._body_limit = self._raw_left = 0
        self.mid_message = False
        self.in_header = False
        self.stops_at_upgrade = False
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Read `data`, at most 4 KiB at a time: what can be in one such piece is not counted again.

        Raises:
            RequestRefused: the peer is at fault; nothing may be fed afterwards.
            Upgrade: a request that asks to upgrade is complete, and `stops_at_upgrade` was set for it.
        """
        if self._raw_left:
            data = self._feed_raw(data)
        while data:
            parser = self._parser
            if parser is None:
                return
            try:
                parser.feed_data(data)
            except httptools.HttpParserUpgrade as pause:
                # Unless its route can upgrade, the request is answered as if it had not asked.
                data = self._feed_raw(data[pause.args[0] :])
                if self.stops_at_upgrade:
                    self.stops_at_upgrade = False
                    raise Upgrade(data) from None
                continue
            except httptools.HttpParserError as error:
                refused = self._refused
                if refused is None:
                    cause = error.__context__
                    if cause is not None and not isinstance(cause, httptools.HttpParserError):
                        raise cause from None
                    refused = RequestRefused(400, "BAD_REQUEST", f"this is not valid HTTP/1.1: {error}")
                raise refused from None
            if self.mid_message:
                self._check_overhead(len(data))
            return

    def _feed_raw(self, data: bytes) -> bytes:
        """Read the rest of a body that the parser left to us; return what follows it."""
        if not self._raw_left:
            return data
        body, rest = data[: self._raw_left], data[self._raw_left :]
        if body:
            self._raw_left -= len(body)
            self.on_body(body)
        if not self._raw_left:
            self.on_message_complete()
        return rest

    def close(self) -> None:
        """Forget the parser and the sink, so that no cycle of references keeps them; read nothing more."""
        self._parser = None
        self._begin = self._part = self._end = _nobody_is_told

    def _check_overhead(self, fed: int) -> None:
        """Bound what the parser holds back: half a header, or the framing and trailers of a chunked body."""
        self._fed += fed
        allowed = 2 * self._limits.header_bytes
        if not self.in_header:
            allowed = 3 * self._limits.header_bytes + 9 * self._body_size
        if self._fed > allowed:
            raise RequestRefused(431, "HEADER_TOO_LARGE", self._header_sentence())

    def _header_sentence(self) -> str:
        limits = self._limits
        return f"a header has at most {limits.header_bytes} bytes in {limits.header_fields} fields"

    def _refuse(self, status: int, code: str, message: str) -> RequestRefused:
        self._refused = RequestRefused(status, code, message)
        return self._refused

    # Callbacks of httptools, in the order in which they come. An exception ends `feed_data`.

    def on_message_begin(self) -> None:
        self.mid_message = self.in_header = True
        self._target = b""
        self._headers = []
        self._fed = self._body_size = 0

    def on_url(self, url: bytes) -> None:
        self._target = self._target + url if self._target else url
        if len(self._target) > self._limits.target_bytes:
            limit = self._limits.target_bytes
            raise self._refuse(414, "TARGET_TOO_LONG", f"a request target has at most {limit} bytes")

    def on_header(self, name: bytes, value: bytes | None) -> None:
        if not value:
            value = b""
        elif value[-1] <= 32:
            value = value.rstrip(b" \t")
        self._headers.append((_LOWER.get(name) or _lower(name), value))

    def on_headers_complete(self) -> None:
        self.in_header = False
        try:
            request = self._head()
            limit = self._body_limit = self._begin(request)
            if request.content_length is not None and request.content_length > limit:
                raise _too_large(limit)
        except RequestRefused as refused:
            self._refused = refused
            raise

    def on_body(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._body_size > self._body_limit:
            self._refused = _too_large(self._body_limit)
            raise self._refused
        self._part(data)

    def on_message_complete(self) -> None:
        if self._raw_left:
            return
        self.mid_message = False
        self._end()

    def _head(self) -> Request:
        parser = self._parser
        if parser is None:
            raise RequestRefused(400, "BAD_REQUEST", "this connection has left HTTP")
        request = Request()
        headers = request.headers = self._headers
        self._headers = []  # what follows the body's last chunk is no header of the request
        special: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in _SPECIAL:
                if name not in special:
                    special[name] = value
                elif name in ONCE:
                    raise RequestRefused(400, "BAD_REQUEST", f"more than one header {name.decode()}")
                else:
                    special[name] += b", " + value
        request.body = b""
        method = parser.get_method()
        request.method = _METHODS.get(method) or method.decode("ascii")
        request.path, request.query = split_target(self._target, request.method)
        keep_alive = request.keep_alive = parser.should_keep_alive()
        # Without a Connection header, only HTTP/1.1 keeps alive: no need to ask for the version.
        request.http_10 = False
        if not keep_alive or b"connection" in special:
            version = parser.get_http_version()
            if version not in ("1.1", "1.0"):
                raise RequestRefused(505, "HTTP_VERSION", "only HTTP/1.1 and HTTP/1.0 are spoken here")
            request.http_10 = version == "1.0"
        if b"host" not in special and not request.http_10:
            raise RequestRefused(400, "BAD_REQUEST", "HTTP/1.1 needs exactly one header host")
        if len(headers) > self._limits.header_fields or (
            # One that came within a single slice is small enough.
            self._fed and sum(len(n) + len(v) + 4 for n, v in headers) > self._limits.header_bytes
        ):
            raise RequestRefused(431, "HEADER_TOO_LARGE", self._header_sentence())
        frame(request, special)
        if request.upgrade is not None and request.content_length != 0:
            self._read_past_upgrade(request.content_length)
        return request

    def _read_past_upgrade(self, length: int | None) -> None:
        """Take over the body of a request that asks to upgrade, as Java's client does on every POST.

        The parser leaves whatever follows such a header to another protocol; we do not upgrade,
        so the declared body is ours to read before the parser goes on.
        """
        assert self._parser is not None
        if not self._parser.should_upgrade():
            return
        if length is None:
            raise RequestRefused(400, "BAD_REQUEST", "a request to upgrade has no chunked body")
        self._raw_left = length


def _nobody_is_told(*_: object) -> NoReturn:
    raise RequestRefused(400, "BAD_REQUEST", "this connection has left HTTP")


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(413, "BODY_TOO_LARGE", f"the body of this request has at most {limit} bytes")


_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
_SPECIAL = ONCE | {b"connection", b"content-encoding", b"expect", b"upgrade"}
# Names as clients spell them, so that the few that everybody sends need no new bytes; bounded.
_LOWER: dict[bytes, bytes] = {}


def _lower(name: bytes) -> bytes:
    lower = name.lower()
    if len(_LOWER) < 512:
        _LOWER[name] = lower
    return lower
