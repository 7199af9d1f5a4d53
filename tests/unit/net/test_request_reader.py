"""The reading half of a connection, without a socket: the same bytes mean the same however they arrive."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from stakewire.net.http.limits import HttpLimits
from stakewire.net.http.reader import RequestReader
from stakewire.net.http.request import Request, RequestRefused


class Seen:
    """A sink that notes everything; a refusal is noted by its status."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self._request: Request | None = None
        self._body = b""

    def begin(self, request: Request) -> int:
        self._request, self._body = request, b""
        return 1000

    def part(self, data: bytes) -> None:
        self._body += data

    def end(self) -> None:
        request = self._request
        assert request is not None
        self.events.append((request.method, request.path, request.headers, self._body, request.keep_alive))


def read(pieces: list[bytes], limits: HttpLimits | None = None) -> list[object]:
    sink = Seen()
    reader = RequestReader(sink, limits or HttpLimits())
    try:
        for piece in pieces:
            reader.feed(piece)
    except RequestRefused as refused:
        sink.events.append(refused.status)
    return sink.events


STREAM = (
    b"POST /a?q HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX-Empty:\r\n\r\nabc"
    b"\r\nPOST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nde\r\n1;e=1\r\nf\r\n0\r\nT: v\r\n\r\n"
    b"POST /up HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok"
    b"GET /c HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    b"GET /d HTTP/1.0\r\n\r\n"
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_requests_do_not_depend_on_how_their_bytes_arrive(cuts: list[int]) -> None:
    """Cut anywhere, a stream of requests reads the same as in one piece."""
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in itertools.pairwise(edges)]
    assert read(pieces) == read([STREAM])


def test_whole_stream_is_understood() -> None:
    """Every request of the stream above is found, with its own body."""
    bodies = [(event[1], event[3]) for event in read([STREAM]) if isinstance(event, tuple)]
    assert bodies == [("/a", b"abc"), ("/b", b"def"), ("/up", b"ok"), ("/c", b""), ("/d", b"")]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_break_the_reader(noise: bytes, at: int) -> None:
    """Whatever arrives, in front of or inside a request, is read or refused: nothing else is raised."""
    good = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    for event in read([good[:at], noise, good[at:]]):
        assert isinstance(event, tuple) or event in (400, 405, 413, 414, 417, 431, 501, 505)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4000))
def test_a_header_dribbled_without_end_is_refused_in_bounded_room(size: int) -> None:
    """However small the pieces, at most twice the header's bound is held before 431."""
    limits = HttpLimits()
    opening = b"GET /a HTTP/1.1\r\nHost: h\r\nX: "
    pieces = [opening] + [b"x" * size] * (3 * limits.header_bytes // size + 2)
    assert read(pieces, limits) == [431]
