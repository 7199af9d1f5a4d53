"""One HTTP request, and what makes its header safe to act on."""

from __future__ import annotations


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


def frame(request: Request, special: dict[bytes, bytes]) -> None:
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
    if len(special) == 2 and length is not None and b"host" in special:
        request.content_encoding = request.upgrade = None
        request.expects_continue = False
        return
    request.content_encoding = special.get(b"content-encoding")
    request.upgrade = special.get(b"upgrade")
    expect = special.get(b"expect")
    request.expects_continue = expect is not None and not request.http_10
    if expect is not None and expect.lower() != b"100-continue":
        raise RequestRefused(417, "EXPECTATION_FAILED", "the only expectation is 100-continue")


def split_target(target: bytes, method: str) -> tuple[str, str]:
    """Path and query of an origin-form or absolute-form target; "*" stays itself."""
    if method == "CONNECT":
        raise RequestRefused(405, "METHOD_NOT_ALLOWED", "this server is no proxy")
    try:
        text = target.decode("ascii")
    except UnicodeDecodeError:
        raise RequestRefused(400, "BAD_REQUEST", "a request target is ASCII, with %-escapes") from None
    if "#" in text:
        raise RequestRefused(400, "BAD_REQUEST", "a request target has no fragment")
    path, query = text, ""
    if "?" in text:
        path, _, query = text.partition("?")
    if path[:1] != "/" and path != "*":
        scheme, mark, rest = path.partition("://")
        if not mark or scheme.lower() not in ("http", "https"):
            raise RequestRefused(400, "BAD_REQUEST", "a request target begins with a slash")
        path = "/" + rest.partition("/")[2]
    return path, query


ONCE = frozenset({b"host", b"content-length", b"transfer-encoding"})
"""Headers of which a second one makes two readers of a request disagree."""
