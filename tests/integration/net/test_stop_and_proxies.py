"""Stopping with work in flight, TLS, and clients behind proxies."""

from __future__ import annotations

import asyncio
import json
import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from stakewire.errors import ConfigError
from stakewire.net.http import Respond
from stakewire.net.tls import server_context


async def test_stop_answers_what_has_come_and_closes(serve: Any, post: Any, until: Any) -> None:
    """At the stop idle connections end, requests in flight get their answer with `connection: close`."""
    held: list[Respond] = []
    service = await serve(hot=lambda request, respond: held.append(respond))
    idle, busy = await service.connect(), await service.connect()
    await busy.send(post("/hot", b"1") + post("/hot", b"2"))
    await until(lambda: len(held) == 2 and service.server.open_connections == 2)
    stopping = asyncio.ensure_future(service.server.stop(30))
    assert await idle.ended()
    with pytest.raises(OSError):
        await service.connect()
    held[0](200, b"first")
    held[1](200, b"second")
    first, second = await busy.answer(), await busy.answer()
    assert (first.body, first.headers.get("connection")) == (b"first", None)
    assert (second.body, second.headers["connection"]) == (b"second", "close")
    assert await busy.ended()
    await stopping


async def test_stop_lets_a_half_read_request_finish(serve: Any, post: Any, until: Any) -> None:
    """A request whose body is still arriving at the stop is read, handled and answered."""
    service = await serve()
    client = await service.connect()
    data = post("/hot", b"money")
    await client.send(data[:-2])
    await until(lambda: service.server.open_connections == 1)
    connection = next(iter(service.server._shared.connections))
    await until(lambda: connection._reader.mid_message)
    stopping = asyncio.ensure_future(service.server.stop(30))
    await until(lambda: service.server._shared.stopping)
    await client.send(data[-2:])
    answer = await client.answer()
    assert (answer.body, answer.headers["connection"]) == (b"money", "close")
    await stopping


async def test_stop_ends_event_streams_at_once(serve: Any) -> None:
    """An event stream would never end: its handler is told that the client has gone, grace or not."""
    begun = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError
        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        begun.set()
        assert (await receive())["type"] == "http.disconnect"

    service = await serve(app=app)
    client = await service.connect()
    await client.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    await begun.wait()
    async with asyncio.timeout(10):
        await service.server.stop(3600)


async def test_stop_cuts_what_outlasts_the_grace(serve: Any, post: Any, until: Any) -> None:
    """A request that is not answered within the grace is cut; the stop itself always ends."""
    held: list[Respond] = []
    service = await serve(hot=lambda request, respond: held.append(respond))
    client = await service.connect()
    await client.send(post("/hot"))
    await until(lambda: bool(held))
    await service.server.stop(0.0)
    assert await client.ended()
    held[0](200, b"too late")


async def test_tls_carries_the_same_service(serve: Any, post: Any, certificate: tuple[Path, Path]) -> None:
    """Hot routes, the app (which sees https) and refusals work over TLS as they do without."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["scheme"].encode()})

    service = await serve(app=app, tls=server_context(*certificate))
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    client = await service.connect(trust)
    await client.send(post("/hot", b"x" * 65536) + post("/scheme"))
    assert len((await client.answer()).body) == 65536
    assert (await client.answer()).body == b"https"
    await client.send(b"rubbish\r\n\r\n")
    assert (await client.answer()).status == 400
    service.pass_time(2.1)  # TLS cannot end one half: the client may close first, for 2 s
    assert await client.ended()
    assert trust.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_plain_http_to_a_tls_port_is_dropped(serve: Any, post: Any, certificate: Any) -> None:
    """Without TLS nothing of the request is read."""
    service = await serve(tls=server_context(*certificate))
    client = await service.connect()
    await client.send(post("/hot", b"x"))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.answer()
    assert service.seen == []


def test_unusable_certificates_are_one_clear_sentence(
    tmp_path: Path, certificate: Any, make_certificate: Any
) -> None:
    """A missing file, a wrong file and a key of another certificate each say which file and why."""
    other = make_certificate(tmp_path)
    with pytest.raises(ConfigError, match="there is no file"):
        server_context(tmp_path / "none.pem", certificate[1])
    with pytest.raises(ConfigError, match="cannot be used for TLS"):
        server_context(certificate[0], other[1])
    with pytest.raises(ConfigError, match="cannot be used for TLS"):
        server_context(certificate[1], certificate[1])


LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client"),
    [
        ((), "203.0.113.9", "127.0.0.1"),
        (LOOPBACK, "203.0.113.9", "203.0.113.9"),
        (LOOPBACK, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (LOOPBACK, "203.0.113.9, 10.0.0.7", "203.0.113.9"),
        (LOOPBACK, "evil, 10.0.0.7", "10.0.0.7"),
        (LOOPBACK, "2001:db8::1", "2001:db8::1"),
        (LOOPBACK, "", "127.0.0.1"),
    ],
)
async def test_forwarded_address_counts_from_named_proxies_only(
    serve: Any, post: Any, trusted: Any, forwarded: str, client: str
) -> None:
    """The client is the last address that no trusted proxy owns; what it wrote itself is not believed."""
    service = await serve(trusted=trusted)
    await service.ask(post("/hot", b"", f"X-Forwarded-For: {forwarded}"))
    assert service.seen[0].peer == client


async def test_forwarded_scheme_reaches_the_app(serve: Any) -> None:
    """X-Forwarded-Proto of a trusted proxy is the app's scheme; other words are not."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError
        body = json.dumps([scope["scheme"], scope["client"][0]]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: {}\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
    near = await serve(app=app, trusted=LOOPBACK)
    assert json.loads((await near.ask(request.format("https").encode())).body) == ["https", "203.0.113.9"]
    assert json.loads((await near.ask(request.format("gopher").encode())).body)[0] == "http"
    far = await serve(app=app)
    assert json.loads((await far.ask(request.format("https").encode())).body) == ["http", "127.0.0.1"]
