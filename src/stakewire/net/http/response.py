"""Requests' answers as bytes; every header that can be is made beforehand."""

from __future__ import annotations

import http
from collections.abc import Iterable
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache

import msgspec

JSON = b"application/json"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
NO_BODY = frozenset({204, 304})

CLOSE = b"connection: close\r\n"
KEEP_ALIVE_10 = b"connection: keep-alive\r\n"
"""Said to HTTP/1.0 only; HTTP/1.1 keeps alive unless told otherwise."""


@lru_cache(maxsize=256)
def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` and its line end."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode("ascii"))


@lru_cache(maxsize=256)
def _opening(status: int, content_type: bytes) -> bytes:
    return status_line(status) + b"content-type: " + content_type + b"\r\n"


class Heads:
    """Makes answers; remembers the line of the date, which changes once a second.

    Attributes:
        json: the head of nearly all answers (200, JSON, the connection lives on) up to the body's length.
    """

    __slots__ = ("date_line", "json")

    def __init__(self, now: datetime) -> None:
        self.date_line = self.json = b""
        self.set_date(now)

    def set_date(self, now: datetime) -> None:
        """Use `now` (aware, UTC) as the date of answers from here on."""
        self.date_line = b"date: %b\r\n" % format_datetime(now.replace(microsecond=0), usegmt=True).encode()
        self.json = b"%b%bcontent-length: " % (_opening(200, JSON), self.date_line)

    def whole(
        self, status: int, body: bytes, content_type: bytes, connection: bytes, *, head_only: bool
    ) -> bytes:
        """A complete answer; `connection` is CLOSE, KEEP_ALIVE_10 or empty."""
        if status in NO_BODY:
            return b"%b%b%b\r\n" % (status_line(status), self.date_line, connection)
        return b"%b%bcontent-length: %d\r\n%b\r\n%b" % (
            _opening(status, content_type),
            self.date_line,
            len(body),
            connection,
            b"" if head_only else body,
        )

    def streamed(self, status: int, headers: Iterable[tuple[bytes, bytes]], framing: bytes) -> bytes:
        """The head of an answer whose body follows; `framing` is ready header lines.

        Raises:
            ValueError: a name or value that would end its line, and so write headers of its own.
        """
        parts = [status_line(status)]
        dated = False
        for name, value in headers:
            if not _TOKEN.issuperset(name) or not name or not _LINE_ENDS.isdisjoint(value):
                raise ValueError(f"not a header that can be sent: {name!r}")
            dated = dated or name.lower() == b"date"
            parts += (name, b": ", value, b"\r\n")
        if not dated:
            parts.append(self.date_line)
        parts += (framing, b"\r\n")
        return b"".join(parts)


def error_body(code: str, message: str) -> bytes:
    """The one shape of an error outside the contracts: `{"error": CODE, "message": text}`."""
    return msgspec.json.encode({"error": code, "message": message})


_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LINE_ENDS = frozenset(b"\r\n\0")
