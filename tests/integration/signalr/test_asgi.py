"""The ASGI adapter against a server that does what the test says: when it takes, gives, and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.integration.signalr.hosting import PATH, SHAKE, EchoHub, until

from stakewire.net.signalr.asgi import HubApp
from stakewire.net.signalr.endpoint import HubEndpoint
from stakewire.net.signalr.options import HubOptions
from stakewire.testing import ManualClock, SeededTokens

ANSWERS = {"websocket.http.response": dict[str, Any]()}


class Asgi:
    """One request or WebSocket as an ASGI server would run it."""

    def __init__(self, app: HubApp, scope: dict[str, Any]) -> None:
        self.sent: list[dict[str, Any]] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.fails = False
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received = 0
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    def give(self, kind: str, **message: Any) -> None:
        self._messages.put_nowait({"type": kind, **message})

    async def next(self, kind: str) -> dict[str, Any]:
        """Skip to the next sent message of this kind."""
        await until(lambda: any(message["type"] == kind for message in self.sent), kind)
        while True:
            message = self.sent.pop(0)
            if message["type"] == kind:
                return message

    async def _receive(self) -> dict[str, Any]:
        message = await self._messages.get()
        self.received += 1
        return message

    async def _send(self, message: Any) -> None:
        await self.takes.wait()
        if self.fails:
            raise OSError("the client has gone")
        self.sent.append(dict(message))


class Adapted:
    """A hub behind the adapter; `begun` counts its starts, `over` its stops."""

    def __init__(self, options: HubOptions, around: Any = None) -> None:
        self.hub = EchoHub()
        self.begun = self.over = 0
        self.endpoint = HubEndpoint(
            self.hub, path=PATH, clock=ManualClock(), tokens=SeededTokens(), options=options
        )
        self.app = HubApp(self.endpoint, start=self._start, stop=self._stop, around=around)
        self.running: list[Asgi] = []

    async def _start(self) -> None:
        self.begun += 1
        await asyncio.sleep(0)
        self.endpoint.start()

    async def _stop(self) -> None:
        self.over += 1
        await self.endpoint.stop(0.01)

    def run(self, kind: str, path: str = PATH, query: str = "", **scope: Any) -> Asgi:
        scope = {"type": kind, "path": path, "query_string": query.encode(), "headers": [], **scope}
        self.running.append(Asgi(self.app, scope))
        return self.running[-1]

    def http(self, method: str, path: str = PATH, query: str = "", body: bytes = b"", **scope: Any) -> Asgi:
        asgi = self.run("http", path, query, method=method, **scope)
        asgi.give("http.request", body=body)
        return asgi

    async def negotiate(self) -> str:
        asgi = self.http("POST", f"{PATH}/negotiate", "negotiateVersion=1")
        body = (await asgi.next("http.response.body"))["body"]
        return str(body.decode().partition('"connectionToken":"')[2].partition('"')[0])

    async def websocket(self) -> Asgi:
        asgi = self.run("websocket")
        asgi.give("websocket.connect")
        await asgi.next("websocket.accept")
        asgi.give("websocket.receive", text=SHAKE.decode())
        await asgi.next("websocket.send")
        await until(lambda: bool(self.hub.here))
        return asgi


@pytest.fixture
async def adapt() -> AsyncIterator[Callable[..., Adapted]]:
    """Adapters with options of their own: `adapt(max_unsent_bytes=...)`."""
    made: list[Adapted] = []

    def make(around: Any = None, **options: Any) -> Adapted:
        made.append(Adapted(HubOptions(**options), around))
        return made[-1]

    yield make
    for adapted in made:
        for asgi in adapted.running:
            asgi.takes.set()
            asgi.task.cancel()
        await asyncio.gather(*(asgi.task for asgi in adapted.running), return_exceptions=True)
        await adapted.endpoint.stop(0.01)


async def test_the_lifespan_starts_and_stops_the_hub(adapt: Callable[..., Adapted]) -> None:
    """As a whole application, and around another that has a lifespan, or none."""
    inner: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for step in ("startup", "shutdown"):
            inner.append((await receive())["type"])
            await send({"type": f"lifespan.{step}.complete"})

    async def none(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("http only")

    for around in (None, app, none):
        adapted = adapt(around)
        lifespan = adapted.run("lifespan")
        lifespan.give("lifespan.startup")
        await lifespan.next("lifespan.startup.complete")
        assert (adapted.begun, adapted.over) == (1, 0)
        lifespan.give("lifespan.shutdown")
        await lifespan.next("lifespan.shutdown.complete")
        assert (adapted.begun, adapted.over) == (1, 1)
        await lifespan.task
    assert inner == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_hub_that_cannot_start_says_so(adapt: Callable[..., Adapted]) -> None:
    """The server is told by the lifespan, and does not serve."""
    adapted = adapt()

    async def fail() -> None:
        raise RuntimeError("no backplane")

    adapted.app._start = fail
    lifespan = adapted.run("lifespan")
    lifespan.give("lifespan.startup")
    assert (await lifespan.next("lifespan.startup.failed"))["message"] == "no backplane"


async def test_without_a_lifespan_the_first_request_starts_the_hub(adapt: Callable[..., Adapted]) -> None:
    """Once, however many come at the same time."""
    adapted = adapt()
    for answer in [adapted.http("POST", f"{PATH}/negotiate") for _ in range(5)]:
        assert (await answer.next("http.response.start"))["status"] == 200
    assert adapted.begun == 1


@pytest.mark.parametrize(
    ("path", "root", "status"),
    [
        (PATH, "", 400),
        (PATH + "/", "", 400),
        ("/app" + PATH, "/app", 400),
        (PATH, "/hubs", 400),
        ("/anywhere", "/anywhere", 400),
        ("/anywhere/", "/anywhere", 400),
        ("/", "", 404),
        (PATH + "/more", "", 404),
        ("/anywhere/more", "/anywhere", 404),
    ],
)
async def test_its_path_may_be_a_mounts(
    adapt: Callable[..., Adapted], path: str, root: str, status: int
) -> None:
    """The hub's own path, with or without the prefix of a mount, or the mount itself; nothing else."""
    asgi = adapt().http("GET", path, root_path=root)
    assert (await asgi.next("http.response.start"))["status"] == status


async def test_what_is_not_the_hubs_goes_to_the_app(adapt: Callable[..., Adapted]) -> None:
    """Both kinds of requests; without an app they are refused."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"] + scope["path"])

    adapted = adapt(app)
    await adapted.http("GET", "/page").task
    await adapted.run("websocket", "/other").task
    assert seen == ["http/page", "websocket/other"]
    refused = adapt().run("websocket", "/other")
    assert (await refused.next("websocket.close"))["code"] == 1008


async def test_an_upgrade_is_refused_with_its_reason_where_the_server_can(
    adapt: Callable[..., Adapted],
) -> None:
    """By the extension for that; else the server answers 403."""
    adapted = adapt()
    plain, able = (
        adapted.run("websocket", PATH, "id=x"),
        adapted.run("websocket", PATH, "id=x", extensions=ANSWERS),
    )
    for asgi in (plain, able):
        asgi.give("websocket.connect")
    assert (await plain.next("websocket.close"))["code"] == 1008
    assert (await able.next("websocket.http.response.start"))["status"] == 404


async def test_a_body_over_the_bound_is_413(adapt: Callable[..., Adapted]) -> None:
    """Read no further than the bound."""
    asgi = adapt(max_batch_bytes=100).run("http", method="POST")
    for _ in range(3):
        asgi.give("http.request", body=b"x" * 60, more_body=True)
    assert (await asgi.next("http.response.start"))["status"] == 413
    assert asgi.received == 2


async def test_a_poller_that_leaves_is_noticed(adapt: Callable[..., Adapted]) -> None:
    """Its poll ends without an answer, and what is sent later waits for the next one."""
    adapted = adapt()
    query = f"id={await adapted.negotiate()}"
    await adapted.http("GET", query=query).task
    await adapted.http("POST", query=query, body=SHAKE).task
    await adapted.http("GET", query=query).task
    left = adapted.http("GET", query=query)
    await until(lambda: left.received == 1)
    left.give("http.disconnect")
    await left.task
    assert left.sent == []
    adapted.hub.only.send_frame(b"kept")
    again = adapted.http("GET", query=query)
    assert (await again.next("http.response.body"))["body"] == b"kept"


@pytest.mark.parametrize(("code", "error"), [(1000, None), (1005, "lost"), (1006, "lost")])
async def test_how_a_websocket_ended_is_told(
    adapt: Callable[..., Adapted], code: int, error: str | None
) -> None:
    """Only 1000 is in order: servers say 1005 of connections that were cut, too."""
    adapted = adapt()
    asgi = await adapted.websocket()
    asgi.give("websocket.disconnect", code=code)
    await asgi.task
    (told,) = adapted.hub.ended.values()
    assert (told is None) == (error is None)


async def test_a_reader_that_stops_is_bounded_and_cut(adapt: Callable[..., Adapted]) -> None:
    """While the server does not take: busy, then too much; after `close_seconds` the request ends."""
    adapted = adapt(max_unsent_bytes=1000, close_seconds=0.01)
    asgi = await adapted.websocket()
    connection = adapted.hub.only
    await until(lambda: not connection.busy)
    asgi.takes.clear()
    connection.send_frame(b"x" * 600)
    assert connection.busy
    connection.send_frame(b"x" * 300)
    assert adapted.hub.ended == {}
    connection.send_frame(b"x" * 300)
    assert list(adapted.hub.ended.values()) == ["The client does not read what is sent to it."]
    await asgi.task
    assert asgi.sent == []


async def test_what_waits_travels_together(adapt: Callable[..., Adapted]) -> None:
    """One WebSocket message may hold several hub messages; then nothing waits any more."""
    adapted = adapt()
    asgi = await adapted.websocket()
    connection = adapted.hub.only
    for frame in (b"one", b"two"):
        connection.send_frame(frame)
    assert (await asgi.next("websocket.send"))["text"] == "onetwo"
    await until(lambda: not connection.busy)


async def test_a_close_leaves_behind_everything_else(adapt: Callable[..., Adapted]) -> None:
    """The hub's last message first, then the close code, then the request ends."""
    adapted = adapt()
    asgi = await adapted.websocket()
    adapted.hub.only.close("enough", code=1013)
    assert '"error":"enough"' in (await asgi.next("websocket.send"))["text"]
    assert (await asgi.next("websocket.close"))["code"] == 1013
    await asgi.task


async def test_a_server_that_cannot_send_any_more_ends_it(adapt: Callable[..., Adapted]) -> None:
    """OSError is how servers say that the client has gone."""
    adapted = adapt()
    asgi = await adapted.websocket()
    asgi.fails = True
    adapted.hub.only.send_frame(b"x")
    await asgi.task
    assert list(adapted.hub.ended.values()) == ["The client's transport was lost."]


async def test_reading_is_held(adapt: Callable[..., Adapted]) -> None:
    """While held no message is taken from the server."""
    adapted = adapt()
    asgi = await adapted.websocket()
    adapted.hub.only.hold_reading(True)
    taken = asgi.received
    for _ in range(5):
        asgi.give("websocket.receive", text='{"type":6}\x1e')
    await _turns()
    assert asgi.received <= taken + 1  # the one that was being waited for
    adapted.hub.only.hold_reading(False)
    await until(lambda: asgi.received == taken + 5)


async def test_an_event_stream_says_a_word_at_once_and_ends_with_its_request(
    adapt: Callable[..., Adapted],
) -> None:
    """Head and comment before anything happens; the hub's close ends the body; leaving is in order."""
    adapted = adapt()
    for leave in (True, False):
        query = f"id={await adapted.negotiate()}"
        headers = [(b"accept", b"text/event-stream")]
        stream = adapted.http("GET", query=query, headers=headers)
        start = await stream.next("http.response.start")
        assert (b"content-type", b"text/event-stream") in start["headers"]
        assert await stream.next("http.response.body") == {
            "type": "http.response.body",
            "body": b":\r\n\r\n",
            "more_body": True,
        }
        await adapted.http("POST", query=query, body=SHAKE).task
        await until(lambda: bool(adapted.hub.here))
        if leave:
            stream.give("http.disconnect")
        else:
            adapted.hub.only.close()
        await stream.task
        assert list(adapted.hub.ended.values())[-1] is None
        assert stream.sent[-1].get("more_body", False) == leave


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
