"""Bytes that are no proper request: one clear 4xx or 5xx, the end of the connection, and nothing handled."""

from __future__ import annotations

import json
from typing import Any

import pytest

HOST = b"Host: a\r\n"
SMUGGLED = b"POST /hot/smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"

AMBIGUOUS = {
    "length and coding": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two equal lengths": b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "two unequal lengths": b"Content-Length: 0\r\nContent-Length: 60\r\n\r\n",
    "list of lengths": b"Content-Length: 0, 0\r\n\r\n",
    "signed length": b"Content-Length: +0\r\n\r\n",
    "hexadecimal length": b"Content-Length: 0x0\r\n\r\n",
    "empty length": b"Content-Length:\r\n\r\n",
    "huge length": b"Content-Length: 99999999999999999999999\r\n\r\n",
    "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "coding before chunked": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding with a tab inside": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "blank before colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "folded header": b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"X: a\nContent-Length: 0\n\n",
    "bare carriage return": b"X: a\rContent-Length: 0\r\n\r\n",
    "NUL in a value": b"X: a\0b\r\n\r\n",
    "control character in a value": b"X: a\x01b\r\n\r\n",
    "header without a name": b": a\r\n\r\n",
    "second host": b"Host: b\r\n\r\n",
    "bad chunk size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_ambiguous_framing_is_refused_and_what_follows_is_never_read(serve: Any, rest: bytes) -> None:
    """Whatever two readers could understand differently ends the connection with an error, unhandled."""
    service = await serve()
    client = await service.connect()
    await client.send(b"POST /hot HTTP/1.1\r\n" + HOST + rest + SMUGGLED)
    answer = await client.answer()
    assert answer.status in (400, 413, 501)
    assert answer.headers["connection"] == "close"
    assert json.loads(answer.body).keys() == {"error", "message"}
    assert await client.ended()
    assert service.seen == []


REFUSED = {
    "no host": (b"GET /hot HTTP/1.1\r\n\r\n", 400),
    "unknown method": (b"BREW /hot HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "lower-case method": (b"get /hot HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no version": (b"GET /hot\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "old version": (b"GET /hot HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "fragment": (b"GET /hot#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "raw bytes in the path": (b"GET /hot\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "relative path": (b"GET hot HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "tunnel": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "long path": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "large header": (b"GET /hot HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 17000 + b"\r\n\r\n", 431),
    "many headers": (b"GET /hot HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
    "header without end": (b"GET /hot HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 50000, 431),
    "target without end": (b"GET /" + b"x" * 50000, 414),
    "trailers without end": (
        b"POST /hot HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 100000,
        431,
    ),
    "chunk extension without end": (
        b"POST /hot HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 100000,
        431,
    ),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_no_request_of_ours_has_its_status(serve: Any, data: bytes, status: int) -> None:
    """Each fault has one status, and the answer is complete JSON before the connection ends."""
    service = await serve()
    client = await service.connect()
    await client.send(data)
    answer = await client.answer()
    assert answer.status == status
    assert json.loads(answer.body)["error"]
    assert await client.ended()
    assert service.seen == []


async def test_refusal_waits_for_the_answers_before_it(serve: Any, post: Any) -> None:
    """Good requests before a bad one on the same connection are answered first, in order."""
    service = await serve()
    client = await service.connect()
    await client.send(post("/hot", b"1") + post("/hot", b"2") + b"rubbish\r\n\r\n")
    assert [(await client.answer()).status for _ in range(3)] == [200, 200, 400]
    assert await client.ended()


async def test_nothing_is_read_after_connection_close(serve: Any, post: Any) -> None:
    """A request that follows one with `Connection: close` is not handled."""
    service = await serve()
    client = await service.connect()
    await client.send(post("/hot", b"1", "Connection: close") + post("/hot", b"2"))
    answer = await client.answer()
    assert (answer.body, answer.headers["connection"]) == (b"1", "close")
    assert await client.ended()
    assert len(service.seen) == 1


async def test_absolute_target_is_read_as_its_path(serve: Any) -> None:
    """`GET http://host/path` is what HTTP/1.1 servers must accept: the path counts."""
    service = await serve()
    answer = await service.ask(b"GET http://elsewhere/hot?x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.status == 200
    assert service.seen[0].path == "/hot"
