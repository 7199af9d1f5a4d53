"""Slow, silent, greedy and too many clients: each costs a bounded time and a bounded room."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from stakewire.net.http import HotRequest, HttpLimits, Respond


async def test_half_a_header_ends_with_408(serve: Any, until: Any) -> None:
    """A header not complete 10 s after its first byte is 408, however steadily it trickles."""
    service = await serve()
    client = await service.connect()
    await client.send(b"POST /hot HTTP/1.1\r\nHost: a\r\n")
    reader = (await _connection(service, until))._reader
    for count in range(3):
        await client.send(b"X-Slow: 1\r\n")
        await until(lambda: len(reader._headers) > count)  # noqa: B023 - awaited in this turn
        service.pass_time(3)
    service.pass_time(1.1)
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert json.loads(answer.body)["error"] == "REQUEST_TIMEOUT"
    assert await client.ended()


async def test_half_a_body_ends_with_408(serve: Any, post: Any) -> None:
    """A body not complete 10 s after its header is 408, and its handler is never called."""
    service = await serve()
    client = await service.connect()
    await client.send(post("/hot", b"first") + post("/hot", b"unfinished")[:-3])
    assert (await client.answer()).body == b"first"
    service.pass_time(10.1)
    assert (await client.answer()).status == 408
    assert await client.ended()
    assert len(service.seen) == 1


async def test_idle_connection_is_closed_without_a_word(serve: Any, post: Any) -> None:
    """75 s after its last answer an unused connection just ends; before that it stays."""
    service = await serve()
    client = await service.connect()
    await client.send(post("/hot", b"1"))
    await client.answer()
    service.pass_time(74)
    await client.send(post("/hot", b"2"))
    assert (await client.answer()).body == b"2"
    service.pass_time(75.1)
    assert await client.ended()


async def test_blank_lines_do_not_keep_a_connection_alive(serve: Any, until: Any) -> None:
    """Bytes that begin no request do not count as use."""
    service = await serve()
    client = await service.connect()
    connection = await _connection(service, until)
    service.pass_time(50)
    await client.send(b"\r\n\r\n")
    await until(lambda: connection._now == service.clock.monotonic())
    service.pass_time(26)
    assert await client.ended()


async def test_an_answer_that_never_comes_is_given_up(serve: Any, post: Any, until: Any) -> None:
    """30 s after a hot request its handler is no longer waited for: 503 and the end of the connection."""
    held: list[Respond] = []
    service = await serve(hot=lambda request, respond: held.append(respond))
    client = await service.connect()
    await client.send(post("/hot"))
    await until(lambda: bool(held))
    service.pass_time(29)
    await client.send(post("/hot"))
    await until(lambda: len(held) == 2)
    held[0](200, b"at last")
    assert (await client.answer()).body == b"at last"
    service.pass_time(29)
    assert service.server.open_connections == 1
    service.pass_time(1.1)
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert json.loads(answer.body)["error"] == "ANSWER_TIMEOUT"
    assert await client.ended()
    held[1](200, b"too late")


async def test_an_app_may_take_its_time(serve: Any, until: Any) -> None:
    """Only hot handlers have to be quick: long polls and event streams wait as long as they want."""
    go, begun = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError
        begun.set()
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"at last"})

    service = await serve(app=app)
    client = await service.connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await begun.wait()
    service.pass_time(3600)
    go.set()
    assert (await client.answer()).body == b"at last"


async def test_client_that_does_not_read_is_cut(serve: Any, post: Any, until: Any) -> None:
    """Answers that pile up stop the reading of requests; 30 s without progress end the connection."""
    handled = 0

    def large(request: HotRequest, respond: Respond) -> None:
        nonlocal handled
        handled += 1
        respond(200, b"x" * 1_000_000)

    service = await serve(hot=large)
    client = await service.connect()
    client.writer.transport.pause_reading()
    client.writer.write(post("/hot") * 5000)
    await until(lambda: handled > 0)
    connection = next(iter(service.server._shared.connections))
    await until(lambda: connection.write_paused)
    assert handled < 120  # what one slice given to the parser can hold
    service.pass_time(29)
    assert service.server.open_connections == 1
    service.pass_time(1.1)
    await until(lambda: service.server.open_connections == 0)


async def test_connection_over_the_bound_is_told_so(serve: Any, post: Any) -> None:
    """One connection too many gets 503 and the end; the others go on, and a place freed is a place again."""
    service = await serve(limits=HttpLimits(connections=2))
    first, second = await service.connect(), await service.connect()
    for client in (first, second):
        await client.send(post("/hot", b"x"))
        assert (await client.answer()).status == 200
    third = await service.connect()
    answer = await third.answer()
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "TOO_MANY_CONNECTIONS")
    assert await third.ended()
    await first.send(post("/hot", b"still here"))
    assert (await first.answer()).body == b"still here"


async def test_refused_client_that_never_closes_is_cut(serve: Any, until: Any) -> None:
    """After a refusal the server waits 2 s for the client to close, then cuts the connection."""
    service = await serve()
    client = await service.connect()
    await client.send(b"rubbish\r\n\r\n")
    assert (await client.answer()).status == 400
    assert service.server.open_connections == 1
    service.pass_time(2.1)
    await until(lambda: service.server.open_connections == 0)


async def _connection(service: Any, until: Any) -> Any:
    """The server's side of its only connection."""
    await until(lambda: service.server.open_connections == 1)
    return next(iter(service.server._shared.connections))
