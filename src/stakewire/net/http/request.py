"""Bytes in, requests out: the reading half of an HTTP/1.1 connection, without its socket.

httptools (llhttp) knows the grammar; this file adds what makes a request safe to act on:
sizes, exactly one Host, exactly one framing of the body, no folded or raw control bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import httptools

from stakewire.net.http.limits import HttpLimits


class RequestRefused(Exception):
    """The peer broke a rule of HTTP or a limit of ours; the connection ends after the answer.

    Attributes:
        status: HTTP status of the answer.
        code: UPPER_SNAKE word of the error envelope.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Request:
    """One HTTP request as it came.

    Attributes:
        method: as sent, upper case ("POST").
        path: raw and undecoded, without the query ("/callbacks/acme/transaction").
        query: what follows the first "?", raw; empty without one.
        headers: (name in lower case, value without surrounding blanks), in order of arrival.
        body: the complete body; empty until it is, and always for requests of the ASGI app.
        peer: address of the client as text; from a trusted proxy's header where one is named.
        received_at: seconds of the server's monotonic clock at which its first complete header was read.
        content_length: as declared, 0 without a body, None when the body is chunked.
        keep_alive: the client lets the connection live on.
        http_10: the client speaks HTTP/1.0.
        content_encoding, expects_continue, upgrade: from the headers of these names.
    """

    __slots__ = (
        "body",
        "content_encoding",
        "content_length",
        "expects_continue",
        "headers",
        "http_10",
        "keep_alive",
        "method",
        "path",
        "peer",
        "query",
        "received_at",
        "upgrade",
    )

    method: str
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    peer: str
    received_at: float
    content_length: int | None
    keep_alive: bool
    http_10: bool
    content_encoding: bytes | None
    expects_continue: bool
    upgrade: bytes | None


class RequestSink(Protocol):
    """Who is told of requests while they arrive; may raise RequestRefused from `begin`."""

    def begin(self, request: Request) -> int:
        """The header is complete; return how many bytes of body are welcome."""

    def part(self, data: bytes) -> None:
        """The next piece of the body."""

    def end(self) -> None:
        """The request that began last is complete."""


class RequestReader:
    """Feeds on whatever arrived and tells a sink; one per connection, for its whole life.

    Attributes:
        mid_message: a request has begun and is not complete.
        in_header: its header is not complete.
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
        "_size",
        "_special",
        "_target",
        "in_header",
        "mid_message",
    )

    def __init__(self, sink: RequestSink, limits: HttpLimits) -> None:
        self._begin: Callable[[Request], int] = sink.begin
        self._part: Callable[[bytes], None] = sink.part
        self._end: Callable[[], None] = sink.end
        self._limits = limits
        self._refused: RequestRefused | None = None
        self._special: dict[bytes, bytes] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._size = self._fed = self._body_size = self._body_limit = self._raw_left = 0
        self.mid_message = False
        self.in_header = False
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Read `data`, at most a few KiB at a time.

        Raises:
            RequestRefused: the peer is at fault; nothing may be fed afterwards.
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
                # We speak HTTP/1.1 only and answer as if no upgrade had been asked for.
                data = self._feed_raw(data[pause.args[0] :])
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
        """Forget the parser, whose callbacks make a reference cycle with this object."""
        self._parser = None

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
        self._special = None
        self._size = self._fed = self._body_size = 0

    def on_url(self, url: bytes) -> None:
        self._target = self._target + url if self._target else url
        if len(self._target) > self._limits.target_bytes:
            limit = self._limits.target_bytes
            raise self._refuse(414, "TARGET_TOO_LONG", f"a request target has at most {limit} bytes")

    def on_header(self, name: bytes, value: bytes | None) -> None:
        value = b"" if value is None else value
        self._size += len(name) + len(value) + 4
        if self._size > self._limits.header_bytes:
            raise self._refuse(431, "HEADER_TOO_LARGE", self._header_sentence())
        if not self.in_header:
            return  # a trailer: bounded above, of no use to anybody here
        name = name.lower()
        if value[-1:] in _BLANKS:
            value = value.rstrip(b" \t")
        if name in _SPECIAL:
            special = self._special
            if special is None:
                self._special = special = {}
            if name in special:
                if name in _ONCE:
                    raise self._refuse(400, "BAD_REQUEST", f"more than one header {name.decode()}")
                value_so_far = special[name] + b", " + value
                special[name] = value_so_far
            else:
                special[name] = value
        self._headers.append((name, value))

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
        assert parser is not None
        special = self._special or _NOTHING
        request = Request()
        request.headers = self._headers
        request.body = b""
        method = parser.get_method()
        request.method = _METHODS.get(method) or method.decode("ascii")
        request.path, request.query = _split_target(self._target, request.method)
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
        if len(self._headers) > self._limits.header_fields:
            raise RequestRefused(431, "HEADER_TOO_LARGE", self._header_sentence())
        self._frame(request, special)
        return request

    def _frame(self, request: Request, special: dict[bytes, bytes]) -> None:
        """Where the body ends, said once and by one header: anything else is how requests are smuggled."""
        length = special.get(b"content-length")
        coding = special.get(b"transfer-encoding")
        if coding is not None:
            if length is not None:
                raise RequestRefused(400, "BAD_REQUEST", "both content-length and transfer-encoding")
            if request.http_10:
                raise RequestRefused(400, "BAD_REQUEST", "HTTP/1.0 has no transfer-encoding")
            if coding.lower() != b"chunked":
                raise RequestRefused(501, "NOT_IMPLEMENTED", "the only transfer-encoding is chunked")
            request.content_length = None
        elif length is None:
            request.content_length = 0
        elif length.isdigit() and len(length) <= 18:
            request.content_length = int(length)
        else:
            raise RequestRefused(400, "BAD_REQUEST", "content-length is not a plain number")
        request.content_encoding = special.get(b"content-encoding")
        request.upgrade = special.get(b"upgrade")
        if request.upgrade is not None and request.content_length != 0:
            self._read_past_upgrade(request.content_length)
        expect = special.get(b"expect")
        request.expects_continue = expect is not None and not request.http_10
        if expect is not None and expect.lower() != b"100-continue":
            raise RequestRefused(417, "EXPECTATION_FAILED", "the only expectation is 100-continue")

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


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(413, "BODY_TOO_LARGE", f"the body of this request has at most {limit} bytes")


def _split_target(target: bytes, method: str) -> tuple[str, str]:
    """Path and query of an origin-form or absolute-form target; "*" stays itself."""
    if method == "CONNECT":
        raise RequestRefused(405, "METHOD_NOT_ALLOWED", "this server is no proxy")
    try:
        text = target.decode("ascii")
    except UnicodeDecodeError:
        raise RequestRefused(400, "BAD_REQUEST", "a request target is ASCII, with %-escapes") from None
    if "#" in text:
        raise RequestRefused(400, "BAD_REQUEST", "a request target has no fragment")
    path, _, query = text.partition("?")
    if path[:1] != "/" and path != "*":
        scheme, mark, rest = path.partition("://")
        if not mark or scheme.lower() not in ("http", "https"):
            raise RequestRefused(400, "BAD_REQUEST", "a request target begins with a slash")
        path = "/" + rest.partition("/")[2]
    return path, query


_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding"})
_SPECIAL = _ONCE | {b"connection", b"content-encoding", b"expect", b"upgrade"}
_BLANKS = (b" ", b"\t")
_NOTHING: dict[bytes, bytes] = {}
