"""A hub behind Granian and uvicorn, as processes: mounted in an app, and as the whole application."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.signalr.hosting import (
    SHAKE,
    SHAKE_MESSAGEPACK,
    SHAKE_STATEFUL,
    Answer,
    HttpClient,
    Socket,
    until,
)

from stakewire.net.sockets import bind
from stakewire.wire.signalr.messages import Completion, Invocation
from stakewire.wire.signalr.protocol import MESSAGEPACK

ROOT = Path(__file__).parents[3]
HUB = "/hubs/room"
UPGRADE = (
    *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def command(server: str, app: str, port: int) -> list[str]:
    target = f"tests.integration.signalr.asgi_app:{app}"
    if server == "uvicorn":
        options = ["--port", str(port), "--log-level", "warning", "--timeout-graceful-shutdown", "1"]
        return [sys.executable, "-m", "uvicorn", target, *options]
    options = ["--interface", "asgi", "--port", str(port), "--workers", "1", "--workers-kill-timeout", "1"]
    return [sys.executable, "-m", "granian", target, *options, "--log-level", "warning"]


@dataclass
class Running:
    """A server process."""

    server: str
    port: int
    process: subprocess.Popen[bytes]
    clients: list[HttpClient] = field(default_factory=list)

    async def http(self) -> HttpClient:
        self.clients.append(HttpClient(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.clients[-1]

    def close_clients(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()

    async def ask(self, method: str, target: str, *headers: str, body: bytes = b"") -> Answer:
        return await (await self.http()).ask(method, HUB + target, *headers, body=body)

    async def negotiate(self, query: str = "?negotiateVersion=1") -> dict[str, Any]:
        answer = await self.ask("POST", "/negotiate" + query)
        assert answer.status == 200, answer
        result: dict[str, Any] = answer.json()
        return result

    async def websocket(self, query: str = "") -> Socket:
        client = await self.http()
        client.begin("GET", HUB + query, *UPGRADE)
        answer = await client.head()
        assert answer.status == 101, answer
        return Socket(client, answer)


def start(server: str, app: str) -> Running:
    (sock,) = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    sock.close()
    process = subprocess.Popen(command(server, app, port), cwd=ROOT, stdin=subprocess.DEVNULL)
    for _ in range(1500):
        assert process.poll() is None, "the server did not start"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    return Running(server, port, process)


@pytest.fixture(
    scope="module",
    params=[(server, app) for server in ("uvicorn", "granian") for app in ("mounted", "around")],
    ids=lambda param: "-".join(param),
)
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = start(*request.param)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
async def running(server: Running) -> AsyncIterator[Running]:
    """A server that has come up."""
    yield server
    server.close_clients()


async def test_calls_and_streams_over_a_websocket(running: Running) -> None:
    """Negotiate, shake hands, call, stream both ways, and leave in order."""
    ids = await running.negotiate()
    websocket = await (await running.websocket(f"?id={ids['connectionToken']}")).shake()
    assert await websocket.call({"a": [1, "ü"]}) == {"a": [1, "ü"]}
    websocket.say({"type": 4, "invocationId": "s", "target": "CountTo", "arguments": [3]})
    answers = [await websocket.hear() for _ in range(4)]
    assert [answer.get("item") for answer in answers] == [1, 2, 3, None]
    assert answers[-1]["type"] == 3
    websocket.say({"type": 1, "invocationId": "u", "target": "Add", "arguments": [], "streamIds": ["x"]})
    websocket.say(*({"type": 2, "invocationId": "x", "item": number} for number in (20, 22)))
    websocket.say({"type": 3, "invocationId": "x"})
    assert (await websocket.hear())["result"] == 42
    websocket.say({"type": 7})
    closed = await websocket.ended()
    assert closed is not None
    assert closed.code == 1000


async def test_messagepack_goes_in_binary_messages(running: Running) -> None:
    """Without negotiation, and with the other protocol."""
    websocket = await running.websocket()
    websocket.protocol = MESSAGEPACK
    websocket.send(SHAKE_MESSAGEPACK)
    assert await websocket.record() == b"{}"
    websocket.send(MESSAGEPACK.write(Invocation("Echo", [b"\xff\x00"], "7")), binary=True)
    while True:
        record = await websocket.record()
        assert record is not None
        message = MESSAGEPACK.parse(record)
        if isinstance(message, Completion):
            break
    assert not isinstance(message.result, msgspec.UnsetType)
    assert MESSAGEPACK.decode(message.result, bytes) == b"\xff\x00"


async def test_groups_reach_every_transport(running: Running) -> None:
    """What one client says is heard by those on a WebSocket, an event stream, and long polls."""
    room = f"room {time.monotonic_ns()}"
    join = {"type": 1, "target": "Join", "arguments": [room], "invocationId": "1"}
    websocket = await (await running.websocket()).shake()
    websocket.say(join)
    assert (await websocket.hear())["invocationId"] == "1"

    stream_id = (await running.negotiate())["connectionToken"]
    stream = await running.http()
    stream.begin("GET", f"{HUB}?id={stream_id}", "Accept: text/event-stream")
    head = await stream.head()
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
    heard = EventStream(stream)
    assert (await running.ask("POST", f"?id={stream_id}", body=SHAKE)).status == 200
    assert await heard.hear() == {}
    assert (await running.ask("POST", f"?id={stream_id}", body=record(join))).status == 200
    assert (await heard.hear())["invocationId"] == "1"

    polled = (await running.negotiate())["connectionToken"]
    first = await running.ask("GET", f"?id={polled}")
    assert (first.status, first.body) == (200, b"")
    assert (await running.ask("POST", f"?id={polled}", body=SHAKE + record(join))).status == 200
    received = b""
    while b'"invocationId":"1"' not in received:
        received += (await running.ask("GET", f"?id={polled}")).body
    waiting = await running.http()
    waiting.begin("GET", f"{HUB}?id={polled}")

    websocket.say({"type": 1, "target": "Tell", "arguments": [room, "hello"]})
    assert (await websocket.hear())["arguments"] == ["hello"]
    assert (await heard.hear())["arguments"] == ["hello"]
    assert b'"arguments":["hello"]' in (await waiting.answer()).body
    assert (await running.ask("DELETE", f"?id={polled}")).status == 202
    assert (await running.ask("GET", f"?id={polled}")).status == 404


async def test_a_wrong_request_is_refused(running: Running) -> None:
    """Statuses are those of the project's own server, where the server lets the hub choose them."""
    assert (await running.ask("GET", "")).status == 400
    assert (await running.ask("GET", "?id=nobody")).status == 404
    assert (await running.ask("POST", "?id=nobody", body=SHAKE)).status == 404
    assert (await running.ask("PUT", "?id=nobody")).status == 405
    assert (await running.ask("POST", "/nothing")).status == 404
    client = await running.http()
    client.begin("GET", HUB + "?id=nobody", *UPGRADE)
    assert (await client.head()).status in (404, 403)


async def test_a_message_over_the_bound_ends_the_connection(running: Running) -> None:
    """The bound is the hub's, not the server's."""
    websocket = await (await running.websocket()).shake()
    websocket.send(b"x" * 200_000)
    closed = await websocket.ended()
    assert closed is None or closed.code == 1009
    assert (await running.ask("POST", "?id=nobody", body=b"x" * 200_000)).status == 413


async def test_a_client_that_does_not_read_is_cut(running: Running) -> None:
    """What it has not taken is bounded; the others go on, and its end is told."""
    good = await (await running.websocket()).shake()
    stuck = await (await running.websocket()).shake()
    stuck.http.reader._transport.pause_reading()  # type: ignore[attr-defined]
    stuck.say({"type": 1, "target": "Fill", "arguments": [1_000, 50_000]})
    good.say({"type": 1, "target": "Fill", "arguments": [20, 1_000]})
    assert [(await good.hear())["arguments"][0] for _ in range(20)] == list(range(20))
    too_slow = "The client does not read what is sent to it."
    async with asyncio.timeout(10):
        while True:
            good.say({"type": 1, "target": "Endings", "arguments": [], "invocationId": "e"})
            if too_slow in (await good.hear())["result"]:
                break
    assert await good.call("still here") == "still here"


async def test_stateful_reconnect(running: Running) -> None:
    """A WebSocket that vanished is replaced by another of the same connection; nothing is lost."""
    ids = await running.negotiate("?negotiateVersion=1&useStatefulReconnect=true")
    assert ids["useStatefulReconnect"] is True
    first = await (await running.websocket(f"?id={ids['connectionToken']}")).shake(SHAKE_STATEFUL)
    assert await first.call("one", "1") == "one"
    first.http.reset()
    second = await running.websocket(f"?id={ids['connectionToken']}")
    second.say({"type": 9, "sequenceId": 2})
    assert await second.hear() == {"type": 9, "sequenceId": 1}
    assert (await second.hear())["result"] == "one"
    assert await second.call("two", "2") == "two"


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
async def test_a_stop_ends_what_is_open(server: str) -> None:
    """SIGTERM ends the process with clients of every kind connected, within the server's own grace."""
    running = start(server, "whole")
    try:
        websocket = await (await running.websocket()).shake()
        stream = await running.http()
        stream.begin(
            "GET", f"{HUB}?id={(await running.negotiate())['connectionToken']}", "Accept: text/event-stream"
        )
        assert (await stream.head()).status == 200
        running.process.send_signal(signal.SIGTERM)
        await websocket.ended()
        await until(lambda: running.process.poll() is not None)
    finally:
        running.close_clients()
        running.process.kill()
        running.process.wait()


def record(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\x1e"


class EventStream:
    """Hub messages of an event stream, whatever the server's framing of the body."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._messages: list[dict[str, Any]] = []

    async def hear(self) -> dict[str, Any]:
        """The next hub message that is no ping."""
        while True:
            line = await asyncio.wait_for(self._client.reader.readline(), 5)
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                parts = line.removeprefix(b"data: ").strip().split(b"\x1e")
                self._messages += [json.loads(part) for part in parts if part]
            while self._messages:
                message = self._messages.pop(0)
                if message.get("type") != 6:
                    return message


async def test_the_app_answers_the_rest(running: Running) -> None:
    """What is not the hub's goes to the application, whichever of the two is inside the other."""
    answer = await (await running.http()).ask("GET", "/")
    assert answer.body == b"somebody's app"
