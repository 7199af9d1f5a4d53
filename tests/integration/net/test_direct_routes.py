"""Direct routes on real sockets: answers later, headers of one's own, connections taken over."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import weakref
from typing import Any, cast

import pytest

from stakewire.net.http import DirectExchange, HttpLimits, Request, Respond, TakenOver
from stakewire.net.tls import server_context

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n"
UPGRADE = b"GET /direct HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
GET = b"GET /direct HTTP/1.1\r\nHost: a\r\n\r\n"


class Echo(TakenOver):
    """Says everything back; remembers what it was told."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.transport = cast(asyncio.Transport, None)
        self.told: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.told.append("data")
        self.received += data
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        super().connection_lost(exc)


class Held:
    """A handler that answers nothing until the test does; in the order of arrival."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.exchanges: list[DirectExchange] = []

    def __call__(self, request: Request, exchange: DirectExchange) -> None:
        self.requests.append(request)
        self.exchanges.append(exchange)


def taking_over(made: list[Echo]) -> Any:
    def handler(request: Request, exchange: DirectExchange) -> None:
        made.append(Echo())
        assert exchange.take_over(made[-1], HEAD) is made[-1].transport

    return handler


async def test_an_answer_has_the_handlers_headers(serve: Any, post: Any) -> None:
    """Status, type, body and any header are the handler's; the framing is ours."""

    def direct(request: Request, exchange: DirectExchange) -> None:
        exchange.respond(
            200, request.method.encode() + request.body, b"text/plain", [(b"vary", b"Origin"), (b"x", b"1")]
        )

    service = await serve(direct=direct)
    client = await service.connect()
    await client.send(post("/direct", b"x" * 100_000) + GET)
    large, small = await client.answer(), await client.answer()
    assert (large.status, large.body) == (200, b"POST" + b"x" * 100_000)
    assert (small.headers["vary"], small.headers["x"], small.headers["content-type"]) == (
        "Origin",
        "1",
        "text/plain",
    )
    assert "connection" not in small.headers
    await client.send(b"HEAD /direct HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head = await client.answer(head_only=True)
    assert (head.headers["content-length"], head.headers["connection"]) == ("4", "keep-alive")
    await client.send(b"GET /direct HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await client.answer()).headers["connection"] == "close"
    assert await client.ended()


async def test_an_answer_without_a_body_has_no_framing(serve: Any) -> None:
    """204 says neither length nor type, and the connection goes on."""
    service = await serve(direct=lambda request, exchange: exchange.respond(204, b""))
    client = await service.connect()
    for _ in range(2):
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == 204
        assert not {"content-length", "content-type"} & answer.headers.keys()


async def test_a_handler_begins_when_its_turn_has_come(serve: Any, post: Any, until: Any) -> None:
    """Pipelined direct requests are handled one after another, each after the answers due before it."""
    held, hot = Held(), list[Respond]()
    service = await serve(direct=held, hot=lambda request, respond: hot.append(respond))
    client = await service.connect()
    await client.send(post("/hot") + post("/direct", b"1") + post("/direct", b"2") + post("/hot"))
    await until(lambda: len(hot) == 2)
    assert held.requests == []
    hot[1](200, b"last")
    hot[0](200, b"first")
    assert [request.body for request in held.requests] == [b"1"]
    held.exchanges[0].respond(200, b"second")
    assert [request.body for request in held.requests] == [b"1", b"2"]
    held.exchanges[1].respond(200, b"third")
    assert [(await client.answer()).body for _ in range(4)] == [b"first", b"second", b"third", b"last"]


async def test_a_body_over_the_bound_is_refused(serve: Any, post: Any) -> None:
    """413 as soon as the body is declared too large; the handler is never called."""
    held = Held()
    service = await serve(direct=held, limits=HttpLimits(direct_body_bytes=10))
    assert (await service.ask(post("/direct", b"x" * 11))).status == 413
    chunked = b"POST /direct HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n"
    assert (await service.ask(chunked)).status == 413
    assert held.requests == []


async def test_a_client_that_leaves_is_noticed(serve: Any, until: Any) -> None:
    """`on_lost` is called once when the client goes, or ends its half; an answer then leads nowhere."""
    held, lost = Held(), list[int]()
    service = await serve(direct=held)
    gone, half = await service.connect(), await service.connect()
    await gone.send(GET)
    await half.send(GET)
    await until(lambda: len(held.exchanges) == 2)
    for number, exchange in enumerate(held.exchanges):
        exchange.on_lost = lambda number=number: lost.append(number)
    gone.reset()
    half.writer.write_eof()
    await until(lambda: sorted(lost) == [0, 1])
    for exchange in held.exchanges:
        exchange.respond(200, b"too late")
        assert exchange.take_over(Echo(), HEAD) is None
    assert service.server.open_connections == 0


async def test_a_second_answer_is_the_programmers_mistake(serve: Any, until: Any) -> None:
    """RuntimeError for a second answer and for one after the connection was taken over."""
    held = Held()
    service = await serve(direct=held)
    client = await service.connect()
    await client.send(GET)
    await until(lambda: len(held.exchanges) == 1)
    held.exchanges[0].respond(200, b"")
    with pytest.raises(RuntimeError):
        held.exchanges[0].respond(200, b"")
    await client.send(UPGRADE)
    await until(lambda: len(held.exchanges) == 2)
    assert held.exchanges[1].take_over(Echo(), HEAD) is not None
    with pytest.raises(RuntimeError):
        held.exchanges[1].respond(200, b"")


async def test_a_failing_handler_is_answered_500(serve: Any) -> None:
    """What went wrong inside, a header that cannot be sent included, is not told to the client."""

    def split(request: Request, exchange: DirectExchange) -> None:
        exchange.respond(200, b"", headers=[(b"x", b"1\r\ny: 2")])

    service = await serve(direct=split)
    answer = await service.ask(GET)
    assert answer.status == 500
    assert json.loads(answer.body)["error"] == "INTERNAL_ERROR"


async def test_another_protocol_goes_on_where_http_ended(serve: Any, until: Any) -> None:
    """After the head everything that comes is the protocol's; at its end its place is free."""
    made: list[Echo] = []
    service = await serve(direct=taking_over(made))
    client = await service.connect()
    await client.send(UPGRADE)
    assert (await client.answer()).status == 101
    for word in (b"GET / HTTP/1.1\r\n\r\n", b"two"):
        await client.send(word)
        assert await client.reader.readexactly(len(word)) == word
    assert service.server.open_connections == 1
    client.close()
    await until(lambda: service.server.open_connections == 0)
    assert made[0].told == ["made", "data", "data", "lost"]


@pytest.mark.parametrize("size", [1, 5000, 300_000])
async def test_bytes_behind_an_upgrade_reach_the_protocol(serve: Any, until: Any, size: int) -> None:
    """What the client sends together with the request to upgrade is not lost, nor read as HTTP."""
    made: list[Echo] = []
    service = await serve(direct=taking_over(made))
    client = await service.connect()
    early = (GET * (size // len(GET) + 1))[:size]
    client.writer.write(UPGRADE + early)
    assert (await client.answer()).status == 101
    assert await client.reader.readexactly(size) == early
    assert len(made) == 1


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
async def test_bytes_behind_an_undecided_upgrade_are_kept(serve: Any, until: Any, size: int) -> None:
    """While the handler decides, what comes is kept; the protocol gets it later and in order."""
    held, echo = Held(), Echo()
    service = await serve(direct=held)
    client = await service.connect()
    early = bytes(range(256)) * (size // 256 + 1)
    client.writer.write(UPGRADE + early[:size])
    await until(lambda: held.exchanges)
    client.writer.write(b"more")
    held.exchanges[0].take_over(echo, HEAD)
    assert echo.told == ["made"]  # nothing from inside: who takes over is not ready yet
    assert (await client.answer()).status == 101
    assert await client.reader.readexactly(size + 4) == early[:size] + b"more"


async def test_a_refused_upgrade_is_followed_by_requests(serve: Any, post: Any, until: Any) -> None:
    """If the answer is a usual one, now or later, what came behind it is HTTP, however large."""
    held = Held()
    service = await serve(direct=held)
    client = await service.connect()
    client.writer.write(UPGRADE + post("/hot", b"1") + post("/hot", b"2" * 60_000) + UPGRADE)
    await until(lambda: held.exchanges)
    held.exchanges[0].respond(401, b"")
    assert (await client.answer()).status == 401
    assert (await client.answer()).body == b"1"
    assert (await client.answer()).body == b"2" * 60_000
    await until(lambda: len(held.exchanges) == 2)
    held.exchanges[1].respond(401, b"")
    assert (await client.answer()).status == 401

    at_once = await serve(direct=lambda request, exchange: exchange.respond(400, b"no"))
    client = await at_once.connect()
    client.writer.write(UPGRADE + post("/hot", b"1") + post("/hot", b"2" * 60_000) + UPGRADE + UPGRADE)
    assert [(await client.answer()).status for _ in range(5)] == [400, 200, 200, 400, 400]


async def test_earlier_answers_leave_before_the_upgrade(serve: Any, post: Any, until: Any) -> None:
    """A take-over waits for the answers due before it: hot ones, and those of the app."""
    made: list[Echo] = []
    hot: list[Respond] = []
    service = await serve(direct=taking_over(made), hot=lambda request, respond: hot.append(respond))
    client = await service.connect()
    await client.send(post("/hot") + post("/app") + UPGRADE + b"early")
    await until(lambda: hot)
    assert made == []
    hot[0](200, b"first")
    assert (await client.answer()).body == b"first"
    assert (await client.answer()).body == b"nothing here"
    assert (await client.answer()).status == 101
    assert await client.reader.readexactly(5) == b"early"


async def test_what_is_pipelined_behind_an_endless_answer_is_not_handled(
    serve: Any, post: Any, until: Any
) -> None:
    """Requests behind one whose connection is taken over without an upgrade are nobody's."""
    made: list[Echo] = []
    service = await serve(direct=taking_over(made))
    client = await service.connect()
    await client.send(GET + post("/hot", b"money") + GET)
    assert (await client.answer()).status == 101
    made[0].transport.write(b"end")
    assert await client.reader.readexactly(3) == b"end"
    assert service.seen == []
    assert len(made) == 1


async def test_a_taken_over_connection_is_forgotten_by_http(serve: Any, until: Any) -> None:
    """Nothing of the HTTP side stays in memory, with no help of the collector."""
    held = Held()
    service = await serve(direct=held)
    client = await service.connect()
    await client.send(UPGRADE)
    await until(lambda: held.exchanges)
    connection = weakref.ref(next(iter(service.server._shared.connections)))
    gc.disable()
    try:
        held.exchanges[0].take_over(Echo(), HEAD)
        await client.answer()
        assert connection() is None
    finally:
        gc.enable()


async def test_taken_over_connections_count_against_the_limit(serve: Any, until: Any) -> None:
    """A connection keeps its place after it left HTTP, and gives it back at its end, once."""
    made: list[Echo] = []
    service = await serve(direct=taking_over(made), limits=HttpLimits(connections=2))
    first, second = await service.connect(), await service.connect()
    for client in (first, second):
        await client.send(UPGRADE)
        assert (await client.answer()).status == 101
    third = await service.connect()
    assert (await third.answer()).status == 503
    third.close()
    first.close()
    await until(lambda: service.server.open_connections == 1)
    fourth = await service.connect()
    await fourth.send(UPGRADE)
    assert (await fourth.answer()).status == 101


async def test_a_taken_over_connection_is_nobodys_to_time_out(serve: Any) -> None:
    """The sweep and the stop leave it to its owner."""
    made: list[Echo] = []
    service = await serve(direct=taking_over(made))
    client = await service.connect()
    await client.send(UPGRADE)
    assert (await client.answer()).status == 101
    service.pass_time(3600)
    await service.server.stop(1.0)
    await client.send(b"still here")
    assert await client.reader.readexactly(10) == b"still here"


async def test_a_stopping_server_gives_nothing_away(serve: Any, until: Any) -> None:
    """A take-over decided after the stop has begun is 503 and the end of the connection."""
    held = Held()
    service = await serve(direct=held)
    client = await service.connect()
    await client.send(UPGRADE)
    await until(lambda: held.exchanges)
    stopping = asyncio.ensure_future(service.server.stop(30))
    await until(lambda: service.server._shared.stopping)
    assert held.exchanges[0].take_over(Echo(), HEAD) is None
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    await stopping


async def test_a_reader_that_stopped_before_the_take_over_is_known_to(
    serve: Any, post: Any, until: Any
) -> None:
    """If earlier answers are still unsent, the new protocol is told so as if it had just happened."""
    paused: list[str] = []

    class Watching(Echo):
        def pause_writing(self) -> None:
            paused.append("paused")

        def resume_writing(self) -> None:
            paused.append("resumed")

    def direct(request: Request, exchange: DirectExchange) -> None:
        exchange.take_over(Watching(), HEAD)

    service = await serve(direct=direct, hot=lambda request, respond: respond(200, b"x" * 20_000_000))
    client = await service.connect()
    client.writer.transport.pause_reading()
    client.writer.write(post("/hot") + UPGRADE)
    await until(lambda: paused)
    assert paused == ["paused"]
    client.writer.transport.resume_reading()
    assert len((await client.answer()).body) == 20_000_000
    await until(lambda: len(paused) == 2)
    assert paused == ["paused", "resumed"]


async def test_a_take_over_under_tls(serve: Any, certificate: Any) -> None:
    """The same over TLS, bytes behind the request included."""
    made: list[Echo] = []
    service = await serve(direct=taking_over(made), tls=server_context(*certificate))
    client = await service.connect(ssl.create_default_context(cafile=str(certificate[0])))
    await client.send(UPGRADE + b"early")
    assert (await client.answer()).status == 101
    await client.send(b" and late")
    assert await client.reader.readexactly(14) == b"early and late"
