"""A hub on a real server and a clock that tests move, and clients that send exactly what they are told."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stakewire.net.http import HttpServer
from stakewire.net.signalr.connection import HubConnection
from stakewire.net.signalr.endpoint import HubEndpoint
from stakewire.testing import ManualClock
from stakewire.wire.signalr.messages import Completion, HubMessage, Invocation
from stakewire.wire.signalr.protocol import JSON, MESSAGEPACK, HubProtocol
from stakewire.wire.websocket.frames import (
    BINARY,
    CLOSE,
    TEXT,
    Binary,
    CloseFrame,
    Event,
    FrameReader,
    PongFrame,
    Text,
    client_frame,
)

PATH = "/hubs/test"
SHAKE = b'{"protocol":"json","version":1}\x1e'
SHAKE_STATEFUL = b'{"protocol":"json","version":2}\x1e'
SHAKE_MESSAGEPACK = b'{"protocol":"messagepack","version":1}\x1e'
KEY = b"\x01\x02\x03\x04"


class EchoHub:
    """The smallest dispatcher: answers every invocation with its first argument, and writes down the rest.

    Attributes:
        here: open connections by id.
        messages: every message that came, with the id of its connection.
        ended: ids of ended connections with the error each ended with.
        greet: awaited by `connected`, if there is one.
        refuse: `connected` raises.
    """

    def __init__(self) -> None:
        self.here: dict[str, HubConnection] = {}
        self.messages: list[tuple[str, HubMessage]] = []
        self.ended: dict[str, str | None] = {}
        self.greet: asyncio.Event | None = None
        self.refuse = False

    def connected(self, connection: HubConnection) -> Any:
        self.here[connection.id] = connection
        if self.refuse:
            raise RuntimeError("secret inside")
        return None if self.greet is None else self.greet.wait()

    def message(self, connection: HubConnection, message: HubMessage) -> None:
        self.messages.append((connection.id, message))
        if isinstance(message, Invocation) and message.target == "Hold":
            connection.hold_reading(True)
        elif isinstance(message, Invocation) and message.invocation_id is not None:
            result = connection.protocol.decode(message.arguments[0], Any)
            connection.send(Completion(message.invocation_id, result))

    def disconnected(self, connection: HubConnection, error: str | None) -> None:
        del self.here[connection.id]
        assert connection.id not in self.ended, "disconnected is told once"
        self.ended[connection.id] = error

    @property
    def only(self) -> HubConnection:
        """The one connection there is."""
        (connection,) = self.here.values()
        return connection


@dataclass
class Answer:
    """One HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class HttpClient:
    """A keep-alive connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, method: str, target: str, *headers: str, body: bytes = b"") -> Answer:
        self.begin(method, target, *headers, body=body)
        return await self.answer()

    def begin(self, method: str, target: str, *headers: str, body: bytes = b"") -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: test.example", *headers]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    async def answer(self) -> Answer:
        async with asyncio.timeout(5):
            answer = await self.head()
            size = int(answer.headers.get("content-length", 0))
            answer.body = await self.reader.readexactly(size)
            return answer

    async def head(self) -> Answer:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:-2])
        return Answer(int(lines[0].split(" ")[1]), {name.lower(): value for name, _, value in pairs}, b"")

    def reset(self) -> None:
        """Vanish, as a client whose network is gone and comes back elsewhere."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.transport.abort()


class Socket:
    """A WebSocket client that speaks hub protocol only if the test does."""

    def __init__(self, http: HttpClient, answer: Answer) -> None:
        self.http = http
        self.answer = answer
        self.protocol: HubProtocol = JSON
        self.closed: CloseFrame | None = None
        self.over = False
        deflate = "sec-websocket-extensions" in answer.headers
        self._frames = FrameReader(max_message=1 << 24, deflate=deflate, require_mask=False)
        self._events: list[Event] = []
        self._records: list[bytes] = []

    def send(self, data: bytes, *, binary: bool = False) -> None:
        self.http.writer.write(client_frame(BINARY if binary else TEXT, data, KEY))

    def say(self, *messages: dict[str, Any]) -> None:
        """Send hub messages of the JSON protocol in one frame."""
        self.send(b"".join(json.dumps(message).encode() + b"\x1e" for message in messages))

    async def event(self) -> Event | None:
        """The next message or control frame; None at the end of the connection."""
        while not self._events:
            try:
                data = await asyncio.wait_for(self.http.reader.read(1 << 16), 5)
            except ConnectionError:
                data = b""
            if not data:
                self.over = True
                return None
            self._events += self._frames.feed(data)
        return self._events.pop(0)

    async def record(self) -> bytes | None:
        """The next hub record, without its separator or prefix; None at the end."""
        while not self._records:
            event = await self.event()
            if isinstance(event, CloseFrame):
                self.closed = event
            if event is None or isinstance(event, CloseFrame):
                return None
            if isinstance(event, Text | Binary):
                assert isinstance(event, Binary) == (self.protocol is MESSAGEPACK)
                self._records += self._split(event.data)
            elif not isinstance(event, PongFrame):
                raise AssertionError(f"not expected: {event}")
        return self._records.pop(0)

    async def hear(self) -> dict[str, Any]:
        """The next hub message of the JSON protocol that is no ping."""
        while True:
            record = await self.record()
            assert record is not None, f"the connection ended: {self.closed}"
            message: dict[str, Any] = json.loads(record)
            if message.get("type") != 6:
                return message

    async def shake(self, words: bytes = SHAKE) -> Socket:
        self.send(words)
        assert await self.hear() == {}
        return self

    async def call(self, value: Any, invocation_id: str = "1") -> Any:
        """Call Echo and give its result."""
        arguments = [value]
        self.say({"type": 1, "target": "Echo", "arguments": arguments, "invocationId": invocation_id})
        answer = await self.hear()
        assert (answer["type"], answer["invocationId"]) == (3, invocation_id)
        return answer["result"]

    async def ended(self) -> CloseFrame | None:
        """Skip everything up to the end, closing in order; the server's Close frame, if there was one."""
        while not self.over:
            if await self.record() is None and self.closed is not None and not self.over:
                self.http.writer.write(client_frame(CLOSE, self.closed.code.to_bytes(2, "big"), KEY))
        return self.closed

    def _split(self, data: bytes) -> list[bytes]:
        splitter = self.protocol.splitter(1 << 24)
        if data.startswith(b"{}\x1e") and self.protocol is MESSAGEPACK:
            return [b"{}", *splitter.feed(data[3:])]
        records = splitter.feed(data)
        assert splitter.feed(JSON.write(_PROBE) if self.protocol is JSON else b"\x01\xc0"), "whole messages"
        return records


_PROBE = Invocation("Probe", [])


@dataclass
class Host:
    """A running hub."""

    hub: EchoHub
    endpoint: HubEndpoint
    server: HttpServer
    clock: ManualClock
    address: tuple[str, int]
    clients: list[HttpClient] = field(default_factory=list)

    async def http(self, *, receive_buffer: int | None = None) -> HttpClient:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer or 1 << 20)
        client = HttpClient(reader, writer)
        self.clients.append(client)
        return client

    async def ask(self, method: str, target: str, *headers: str, body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        client = await self.http()
        answer = await client.ask(method, PATH + target, *headers, body=body)
        client.close()
        return answer

    async def negotiate(self, query: str = "?negotiateVersion=1", *headers: str) -> dict[str, Any]:
        answer = await self.ask("POST", "/negotiate" + query, *headers)
        assert answer.status == 200, answer
        result: dict[str, Any] = answer.json()
        return result

    async def upgrade(
        self, query: str = "", *headers: str, receive_buffer: int | None = None
    ) -> tuple[HttpClient, Answer]:
        client = await self.http(receive_buffer=receive_buffer)
        client.begin(
            *("GET", PATH + query, "Upgrade: websocket", "Connection: Upgrade"),
            *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *headers),
        )
        return client, await client.head()

    async def websocket(self, query: str = "", *headers: str, receive_buffer: int | None = None) -> Socket:
        client, answer = await self.upgrade(query, *headers, receive_buffer=receive_buffer)
        assert answer.status == 101, answer
        return Socket(client, answer)

    async def connect(self, query: str = "", *headers: str) -> Socket:
        """A client that is connected and has shaken hands."""
        return await (await self.websocket(query, *headers)).shake()

    def pass_time(self, seconds: float) -> None:
        """Let the server believe that time has passed."""
        self.clock.advance(seconds)
        self.server.sweep()
        self.endpoint.sweep()

    @property
    def known(self) -> int:
        """Connections that the hub holds, negotiated ones included."""
        return len(list(self.endpoint.connections))


async def until(condition: Callable[[], bool], what: str = "") -> None:
    """Let the event loop turn until `condition` holds; fail if it does not within 5 s."""
    try:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"did not happen: {what or condition}") from None
