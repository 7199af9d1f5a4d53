"""The ASGI bridge on real sockets: streams both ways, disconnects, faults of the app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from stakewire.errors import ConfigError
from stakewire.net.http import HttpLimits

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def asgi(handle: Any) -> Any:
    """An app without lifespan from one function of (scope, receive, send)."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await handle(scope, receive, send)
        else:
            raise RuntimeError("no lifespan")

    return app


async def test_starlette_app_works(serve: Any) -> None:
    """Path, query, headers, client and body reach an ordinary framework; its answer comes back."""

    async def show(request: Request) -> Response:
        body = await request.body()
        query, number = request.query_params["q"], request.path_params["n"]
        return JSONResponse([request.url.path, query, number, body.decode()])

    service = await serve(app=Starlette(routes=[Route("/é/{n}", show, methods=["PUT"])]))
    client = await service.connect()
    await client.send(b"PUT /%C3%A9/7?q=a%20b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
    answer = await client.answer()
    assert json.loads(answer.body) == ["/é/7", "a b", "7", "hi"]
    await client.send(b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await client.answer()).status == 404


async def test_lifespan_wraps_the_service(serve: Any) -> None:
    """The app starts before the first request and ends after the last; its state reaches the requests."""
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            scope["state"]["pool"] = "open"
            events.append("start")
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            events.append("end")
            await send({"type": "lifespan.shutdown.complete"})
            return
        events.append(scope["state"]["pool"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    service = await serve(app=app)
    answer = await service.ask(GET)
    assert (answer.status, answer.headers.get("content-length")) == (204, None)
    await service.server.stop(1.0)
    assert events == ["start", "open", "end"]


async def test_app_that_cannot_start_stops_the_start(serve: Any) -> None:
    """A failed startup is a ConfigError with the app's words."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(ConfigError, match="no database"):
        await serve(app=app)


async def test_events_arrive_while_the_stream_is_open(serve: Any) -> None:
    """Server-sent events reach the client one by one, each when it is sent."""
    next_event: asyncio.Queue[bytes] = asyncio.Queue()

    async def events(_: Request) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            while True:
                yield await next_event.get()

        return StreamingResponse(stream(), media_type="text/event-stream")

    service = await serve(app=Starlette(routes=[Route("/x", events)]))
    client = await service.connect()
    await client.send(GET)
    await client.reader.readuntil(b"\r\n\r\n")
    chunks = client.chunks()
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        next_event.put_nowait(event)
        assert await anext(chunks) == event


async def test_event_handler_ends_when_its_client_leaves(serve: Any, until: Any) -> None:
    """A handler that waits for its next event is ended by the disconnect, not by the event."""
    ended: list[bool] = []
    begun = asyncio.Event()

    async def events(_: Request) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            try:
                yield b"data: hello\n\n"
                begun.set()
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        return StreamingResponse(stream(), media_type="text/event-stream")

    service = await serve(app=Starlette(routes=[Route("/x", events)]))
    client = await service.connect()
    await client.send(GET)
    await begun.wait()
    client.close()
    await until(lambda: bool(ended))


async def test_receive_tells_the_disconnect_once_the_body_is_read(serve: Any) -> None:
    """After the body, receive waits, then says http.disconnect; the answer then leads nowhere, silently."""
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        told.put_nowait("reading")
        told.put_nowait(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})
        told.put_nowait("answered")

    service = await serve(app=asgi(handle))
    client = await service.connect()
    await client.send(GET)
    assert await told.get() == "reading"
    client.close()
    assert await told.get() == {"type": "http.disconnect"}
    assert await told.get() == "answered"


@pytest.mark.parametrize("piece", [b"", b"data: more\n\n"])
async def test_endless_stream_that_never_listens_ends_when_its_client_leaves(
    serve: Any, until: Any, piece: bytes
) -> None:
    """An app that only sends, and never looks for the disconnect, is cancelled; nothing is logged."""
    ended: list[str] = []
    begun = asyncio.Event()

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                begun.set()
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    service = await serve(app=asgi(handle))
    client = await service.connect()
    with structlog.testing.capture_logs() as said:
        await client.send(GET)
        await begun.wait()
        client.close()
        await until(lambda: bool(ended))
        await until(lambda: not service.server._shared.tasks)
    assert (ended, said) == (["cancelled"], [])


async def test_event_stream_that_never_listens_ends_with_the_server(serve: Any) -> None:
    """A server that stops ends such a stream at once, and its client sees the connection cut."""

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while True:
            await send({"type": "http.response.body", "body": b"data: more\n\n", "more_body": True})
            await asyncio.sleep(0)

    service = await serve(app=asgi(handle))
    client = await service.connect()
    await client.send(GET)
    await client.reader.readuntil(b"more")
    async with asyncio.timeout(10):
        stopped = asyncio.create_task(service.server.stop(60.0))
        while not client.reader.at_eof():
            await client.reader.read(65536)
        await stopped


async def test_nothing_is_logged_when_the_client_of_a_framework_leaves(
    serve: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser that closes in the middle of a stream is an everyday thing: no traceback, no line."""
    ended: list[bool] = []

    async def stream() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: again\n\n"
                await asyncio.sleep(0)
        finally:
            ended.append(True)

    async def events(_: Request) -> Response:
        return StreamingResponse(stream(), media_type="text/event-stream")

    service = await serve(app=Starlette(routes=[Route("/x", events)]))
    client = await service.connect()
    with structlog.testing.capture_logs() as said:
        await client.send(GET)
        await client.reader.readuntil(b"again")
        client.reset()
        await until(lambda: not service.server._shared.tasks)
    assert ended
    assert (said, caplog.records) == ([], [])


async def test_slow_reader_holds_its_sender_back(serve: Any, until: Any) -> None:
    """A sender waits while its client does not read, and goes on when it does: memory stays bounded."""
    sent = 0

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(400):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    service = await serve(app=asgi(handle))
    client = await service.connect()
    client.writer.transport.pause_reading()
    await client.send(GET)
    await until(lambda: sent > 0 and next(iter(service.server._shared.connections)).write_paused)
    assert sent < 200
    client.writer.transport.resume_reading()
    answer = await client.answer()
    assert len(answer.body) == 40_000_000


async def test_large_upload_is_read_as_fast_as_the_app_takes_it(serve: Any, until: Any) -> None:
    """The body waits in the client, not in our memory, until the app asks for it."""
    taken = 0
    go = asyncio.Event()
    largest = 0

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        nonlocal taken, largest
        await go.wait()
        more = True
        while more:
            message = await receive()
            taken += len(message["body"])
            largest = max(largest, len(message["body"]))
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % taken})

    service = await serve(app=asgi(handle), limits=HttpLimits(app_body_bytes=20_000_000))
    client = await service.connect()
    size = 8_000_000
    client.writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    await until(lambda: service.server.open_connections == 1)
    connection = next(iter(service.server._shared.connections))
    await until(lambda: connection._held)
    service.pass_time(60)  # the app's slowness is not the client's fault
    go.set()
    assert (await client.answer()).body == b"%d" % size
    assert largest < 200_000


async def test_body_over_the_bound_is_413_before_the_answer_begins(serve: Any, until: Any) -> None:
    """An app's request body has a bound too: 413 takes the place of the app's answer; the app is told."""
    ended: list[Any] = []

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            pass
        ended.append(message)

    service = await serve(app=asgi(handle), limits=HttpLimits(app_body_bytes=1000))
    client = await service.connect()
    await client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.send(b"200\r\n" + b"x" * 512 + b"\r\n")
    await client.send(b"200\r\n" + b"x" * 512 + b"\r\n")
    answer = await client.answer()
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "BODY_TOO_LARGE")
    await until(lambda: bool(ended))


async def test_answer_before_the_end_of_the_body_leaves_the_connection_in_step(serve: Any) -> None:
    """An app may answer without reading the body; the next request is still found where it begins."""

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    service = await serve(app=asgi(handle))
    client = await service.connect()
    await client.send(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
    assert (await client.answer()).body == b"/1"
    await client.send(b"0123456789" + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await client.answer()).body == b"/2"


@pytest.mark.parametrize("fault", ["raise", "return", "header"])
async def test_app_that_fails_before_answering_is_a_500(serve: Any, fault: str) -> None:
    """An exception, no answer at all, or a header with a line end in it: 500, and no inner words."""

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        if fault == "raise":
            raise ValueError("secret")
        if fault == "header":
            headers = [(b"location", b"/\r\nset-cookie: stolen=1")]
            await send({"type": "http.response.start", "status": 302, "headers": headers})
            await send({"type": "http.response.body"})

    service = await serve(app=asgi(handle))
    answer = await service.ask(GET)
    assert answer.status == 500
    assert json.loads(answer.body)["error"] == "INTERNAL_ERROR"
    assert "set-cookie" not in answer.headers


async def test_app_that_fails_in_mid_stream_cuts_the_connection(serve: Any) -> None:
    """A stream that cannot be finished is not ended as if it had been: the last chunk is missing."""

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError

    service = await serve(app=asgi(handle))
    client = await service.connect()
    await client.send(GET)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
        await client.answer()


async def test_stream_to_http_10_ends_with_the_connection(serve: Any) -> None:
    """HTTP/1.0 has no chunks: the body is plain, and the end of the connection is its end."""

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    service = await serve(app=asgi(handle))
    answer = await service.ask(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (answer.body, answer.headers["connection"]) == (b"one two", "close")
