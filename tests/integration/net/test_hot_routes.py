"""Hot routes on real sockets: order, framing, refusals."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from stakewire.net.http import HotRequest, HttpLimits, Respond


async def test_one_connection_carries_many_requests(serve: Any, post: Any) -> None:
    """Keep-alive: requests one after another on one connection each get their own answer."""
    service = await serve()
    client = await service.connect()
    for body in (b"one", b"two", b"three"):
        await client.send(post("/hot", body))
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, body)
        assert "connection" not in answer.headers


async def test_handler_sees_the_request_as_it_came(serve: Any, post: Any) -> None:
    """Path and query stay undecoded, header names come in lower case, values and order are kept."""
    service = await serve()
    await service.ask(post("/hot/caf%C3%A9?a=%20b?c", b"{}", "X-One: 1", "x-ONE: \t two  "))
    request = service.seen[0]
    assert (request.method, request.path, request.query) == ("POST", "/hot/caf%C3%A9", "a=%20b?c")
    assert [value for name, value in request.headers if name == b"x-one"] == [b"1", b"two"]
    assert request.body == b"{}"
    assert request.peer == "127.0.0.1"
    assert request.received_at == service.clock.monotonic()


async def test_pipelined_answers_keep_the_order_of_the_requests(serve: Any, post: Any) -> None:
    """Answers given in the opposite order still leave in the order of the requests."""
    waiting: list[tuple[HotRequest, Respond]] = []

    def hold(request: HotRequest, respond: Respond) -> None:
        waiting.append((request, respond))
        if len(waiting) == 3:
            for held, answer in reversed(waiting):
                answer(200, held.body)

    service = await serve(hot=hold)
    client = await service.connect()
    await client.send(post("/hot", b"1") + post("/hot", b"2") + post("/hot", b"3"))
    assert [(await client.answer()).body for _ in range(3)] == [b"1", b"2", b"3"]


async def test_hot_and_app_requests_share_a_pipeline(serve: Any, post: Any) -> None:
    """A slow request of the app between two hot ones delays the later answer, and loses none."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        body = (await receive())["body"]
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"app " + body})

    service = await serve(app=app)
    client = await service.connect()
    await client.send(post("/hot", b"1") + post("/app", b"2") + post("/hot", b"3") + post("/app", b"4"))
    assert (await client.answer()).body == b"1"
    go.set()
    assert [(await client.answer()).body for _ in range(3)] == [b"app 2", b"3", b"app 4"]


async def test_a_flood_of_pipelined_requests_is_answered_in_full(serve: Any, post: Any) -> None:
    """More requests at once than may wait: reading pauses, and every one is answered in order."""
    waiting: list[tuple[HotRequest, Respond]] = []

    def hold(request: HotRequest, respond: Respond) -> None:
        waiting.append((request, respond))
        if len(waiting) == 1:
            asyncio.get_running_loop().call_soon(release)

    def release() -> None:
        held, waiting[:] = waiting[:], []
        for request, respond in held:
            respond(200, request.body)

    service = await serve(hot=hold, limits=HttpLimits(pipelined=4))
    client = await service.connect()
    bodies = [str(n).encode() for n in range(3000)]
    sending = asyncio.ensure_future(client.send(b"".join(post("/hot", body) for body in bodies)))
    assert [(await client.answer()).body for _ in bodies] == bodies
    await sending


async def test_body_may_come_in_chunks_and_in_pieces(serve: Any, post: Any) -> None:
    """A chunked body, and one that arrives byte by byte, reach the handler whole."""
    service = await serve()
    client = await service.connect()
    await client.send(
        b"POST /hot HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: ignored\r\n\r\n"
    )
    assert (await client.answer()).body == b"abcde"
    for byte in post("/hot", b"slowly"):
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.answer()).body == b"slowly"


async def test_late_answer_to_a_client_that_left_goes_nowhere(serve: Any, post: Any, until: Any) -> None:
    """The handler may answer after the client has gone: nothing happens, and the server lives on."""
    held: list[Respond] = []
    service = await serve(hot=lambda request, respond: held.append(respond))
    client = await service.connect()
    await client.send(post("/hot", b"x"))
    await until(lambda: bool(held))
    client.reset()
    await until(lambda: service.server.open_connections == 0)
    held[0](200, b"late")


async def test_half_closed_client_still_gets_its_answer(serve: Any, post: Any, until: Any) -> None:
    """A client that ends its half after the request reads the answer, then the end."""
    held: list[Respond] = []
    service = await serve(hot=lambda request, respond: held.append(respond))
    client = await service.connect()
    await client.send(post("/hot", b"x"))
    client.writer.write_eof()
    await until(lambda: bool(held))
    held[0](200, b"here")
    assert (await client.answer()).body == b"here"
    assert await client.ended()


async def test_failing_handler_answers_500_without_its_reason(serve: Any, post: Any) -> None:
    """An exception of the handler becomes INTERNAL_ERROR; the connection goes on."""

    def broken(request: HotRequest, respond: Respond) -> None:
        raise ValueError("secret detail")

    service = await serve(hot=broken)
    client = await service.connect()
    for _ in range(2):
        await client.send(post("/hot"))
        answer = await client.answer()
        assert answer.status == 500
        assert json.loads(answer.body)["error"] == "INTERNAL_ERROR"
        assert b"secret" not in answer.body


async def test_second_answer_to_one_request_is_a_fault(serve: Any, post: Any) -> None:
    """Respond called twice raises, instead of shifting every later answer by one."""
    raised: list[str] = []

    def twice(request: HotRequest, respond: Respond) -> None:
        respond(200, request.body)
        respond(200, b"again")

    def checked(request: HotRequest, respond: Respond) -> None:
        try:
            twice(request, respond)
        except RuntimeError as error:
            raised.append(str(error))

    service = await serve(hot=checked)
    client = await service.connect()
    await client.send(post("/hot", b"1") + post("/hot", b"2"))
    assert [(await client.answer()).body for _ in range(2)] == [b"1", b"2"]
    assert len(raised) == 2


async def test_body_limit_is_64_kib_declared_or_not(serve: Any, post: Any) -> None:
    """65,536 bytes pass; one more is 413 by its declared length at once, or while chunks are read."""
    service = await serve()
    full = b"x" * 65536
    assert (await service.ask(post("/hot", full))).body == full
    for data in (
        post("/hot", full + b"x"),
        b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
        b"POST /hot HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + full + b"x",
    ):
        client = await service.connect()
        await client.send(data)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert json.loads(answer.body)["error"] == "BODY_TOO_LARGE"
        assert await client.ended()
    assert len(service.seen) == 1


async def test_refusal_reaches_a_client_that_goes_on_sending(serve: Any) -> None:
    """413 is readable although the client still pushes its body: the server lingers before it closes."""
    service = await serve()
    client = await service.connect()
    await client.send(b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n")
    for _ in range(20):
        await client.send(b"x" * 20000)
    assert (await client.answer()).status == 413


async def test_encoded_bodies_are_refused_on_hot_routes(serve: Any, post: Any) -> None:
    """Content-Encoding other than identity is 415: the signature is over the bytes as sent."""
    service = await serve()
    assert (await service.ask(post("/hot", b"x", "Content-Encoding: gzip"))).status == 415
    assert (await service.ask(post("/hot", b"x", "Content-Encoding: Identity"))).status == 200


async def test_expect_continue_is_answered_before_the_body(serve: Any) -> None:
    """A client that waits for 100 gets it, and one whose body is too large gets 413 instead."""
    service = await serve()
    client = await service.connect()
    await client.send(b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert (await client.answer()).status == 100
    await client.send(b"ok")
    assert (await client.answer()).body == b"ok"
    big = b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n"
    assert (await service.ask(big)).status == 413
    odd = b"POST /hot HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: the-best\r\n\r\n"
    assert (await service.ask(odd)).status == 417


async def test_head_has_the_headers_and_no_body(serve: Any) -> None:
    """HEAD is answered with the length of the body, and without it."""
    service = await serve()
    client = await service.connect()
    await client.send(b"HEAD /hot HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = await client.answer(head_only=True)
    assert answer.headers["content-length"] == "5"
    await client.send(b"GET /hot HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await client.answer()).body == b"empty"


async def test_http_10_closes_unless_asked_to_stay(serve: Any) -> None:
    """HTTP/1.0 gets `connection: close` and the end, or `keep-alive` where it asks for it."""
    service = await serve()
    client = await service.connect()
    await client.send(b"GET /hot HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (await client.answer()).headers["connection"] == "keep-alive"
    await client.send(b"GET /hot HTTP/1.0\r\n\r\n")
    assert (await client.answer()).headers["connection"] == "close"
    assert await client.ended()


async def test_upgrade_request_is_answered_as_if_it_had_not_asked(serve: Any, post: Any) -> None:
    """Java's client asks every server for h2c, with a body: the body is read, no upgrade happens."""
    service = await serve()
    client = await service.connect()
    asks = post("/hot", b"java", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")
    await client.send(asks + post("/hot", b"next"))
    assert [(await client.answer()).body for _ in range(2)] == [b"java", b"next"]
    await client.send(asks[:-2])
    await client.send(asks[-2:] + asks)
    assert [(await client.answer()).body for _ in range(2)] == [b"java", b"java"]


async def test_date_moves_with_the_clock(serve: Any, post: Any) -> None:
    """The date of an answer is the clock's, renewed by the sweep."""
    service = await serve()
    client = await service.connect()
    await client.send(post("/hot"))
    assert (await client.answer()).headers["date"] == "Thu, 01 Jan 2026 12:00:00 GMT"
    service.pass_time(5)
    await client.send(post("/hot"))
    assert (await client.answer()).headers["date"] == "Thu, 01 Jan 2026 12:00:05 GMT"
