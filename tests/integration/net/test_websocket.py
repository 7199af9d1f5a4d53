"""WebSockets on real sockets: messages, pings, both ways of closing, rules broken, readers that stop."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import ssl
import sys
import termios
from typing import Any

import pytest

from stakewire.net.http import DirectExchange, HttpLimits, Request
from stakewire.net.tls import server_context
from stakewire.net.websocket import WebSocketProtocol, accept_websocket
from stakewire.wire.websocket.deflate import deflate_message
from stakewire.wire.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Binary,
    CloseFrame,
    Event,
    FrameReader,
    PongFrame,
    Text,
    client_frame,
    close_payload,
    server_frame,
)
from stakewire.wire.websocket.handshake import accept_key

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x01\x02\x03\x04"


def upgrade(*headers: str) -> bytes:
    lines = [
        "GET /direct HTTP/1.1",
        "Host: a",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY.decode()}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def say(opcode: int, payload: bytes = b"", *, rsv1: bool = False) -> bytes:
    return client_frame(opcode, payload, MASK, rsv1=rsv1)


class Owner:
    """Remembers what it was told; echoes messages if told so."""

    socket: WebSocketProtocol

    def __init__(self) -> None:
        self.echo = True
        self.told: list[tuple[Any, ...]] = []

    def on_message(self, data: bytes, is_text: bool) -> None:
        self.told.append(("text" if is_text else "binary", data))
        if self.echo:
            self.socket.send_raw(server_frame(TEXT if is_text else BINARY, data))

    def on_busy(self) -> None:
        self.told.append(("busy",))

    def on_drained(self) -> None:
        self.told.append(("drained",))

    def on_closed(self, clean: bool, code: int) -> None:
        self.told.append(("closed", clean, code))


class Peer:
    """A bare client of a WebSocket."""

    def __init__(self, client: Any, *, deflate: bool) -> None:
        self.client = client
        self._frames = FrameReader(max_message=1 << 30, deflate=deflate, require_mask=False)
        self._events: list[Event] = []

    async def send(self, *frames: bytes) -> None:
        await self.client.send(b"".join(frames))

    async def next(self) -> Event:
        while not self._events:
            data = await self.client.reader.read(65536)
            assert data, "the server ended the connection"
            self._events += self._frames.feed(data)
        return self._events.pop(0)


class Sockets:
    """Opens WebSockets on a server of its own; `owners` in the order of the requests."""

    def __init__(self, serve: Any) -> None:
        self._serve = serve
        self.service: Any = None
        self.owners: list[Owner] = []
        self.options: dict[str, Any] = {"max_message": 1000, "compression": True}

    def handle(self, request: Request, exchange: DirectExchange) -> None:
        owner = Owner()
        opened = accept_websocket(request, exchange, owner, **self.options)
        if opened is not None:
            owner.socket = opened
            self.owners.append(owner)

    async def start(self, **serve: Any) -> None:
        self.service = await self._serve(direct=self.handle, **serve)

    async def open(self, *headers: str, early: bytes = b"", tls: ssl.SSLContext | None = None) -> Peer:
        if self.service is None:
            await self.start()
        client = await self.service.connect(tls)
        await client.send(upgrade(*headers) + early)
        answer = await client.answer()
        assert answer.status == 101
        assert answer.headers["sec-websocket-accept"] == accept_key(KEY).decode()
        return Peer(client, deflate="sec-websocket-extensions" in answer.headers)


@pytest.fixture
def sockets(serve: Any) -> Sockets:
    return Sockets(serve)


async def test_messages_go_both_ways(sockets: Sockets) -> None:
    """Text stays text and binary binary; fragments and several frames at once are whole messages."""
    peer = await sockets.open()
    first, last = say(TEXT, b"one "), say(0, b"two")
    unfinished = bytes([first[0] & 0x7F]) + first[1:]
    await peer.send(say(TEXT, b"{}"), say(BINARY, b"\xff\x00"), unfinished, last)
    assert [await peer.next() for _ in range(3)] == [Text(b"{}"), Binary(b"\xff\x00"), Text(b"one two")]
    assert sockets.owners[0].told == [("text", b"{}"), ("binary", b"\xff\x00"), ("text", b"one two")]


async def test_a_first_message_may_come_with_the_request(sockets: Sockets) -> None:
    """A client in a hurry does not wait for the 101; its message is not lost."""
    peer = await sockets.open(early=say(TEXT, b"at once"))
    assert await peer.next() == Text(b"at once")


async def test_a_wrong_request_is_refused_and_http_goes_on(sockets: Sockets, post: Any) -> None:
    """400, or 426 naming the version that is spoken; the connection carries further requests."""
    await sockets.start()
    client = await sockets.service.connect()
    wrong = upgrade().replace(b"Version: 13", b"Version: 8")
    await client.send(wrong + upgrade().replace(KEY, b"short") + post("/direct") + post("/hot", b"on"))
    answers = [await client.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [426, 400, 400, 200]
    assert answers[0].headers["sec-websocket-version"] == "13"
    assert sockets.owners == []


async def test_the_answer_carries_the_callers_headers(sockets: Sockets) -> None:
    """Headers of the endpoint stand in the 101."""
    sockets.options["headers"] = [(b"x-one", b"1"), (b"x-two", b"2")]
    await sockets.start()
    answer = await sockets.service.ask(upgrade())
    assert (answer.status, answer.headers["x-one"], answer.headers["x-two"]) == (101, "1", "2")


async def test_compression_is_agreed_on(sockets: Sockets) -> None:
    """With the client's offer messages may be deflated both ways; without it, or ours, never."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    peer = await sockets.open(offer)
    assert sockets.owners[0].socket.compressed
    await peer.send(say(TEXT, deflate_message(b"small" * 100), rsv1=True))
    assert await peer.next() == Text(b"small" * 100)
    sockets.owners[0].socket.send_raw(server_frame(TEXT, deflate_message(b"ours" * 100), rsv1=True))
    assert await peer.next() == Text(b"ours" * 100)
    await sockets.open()
    sockets.options["compression"] = False
    await sockets.open(offer)
    assert [owner.socket.compressed for owner in sockets.owners] == [True, False, False]


async def test_pings_are_answered(sockets: Sockets) -> None:
    """Each ping has its pong, with the same data; the owner is not bothered."""
    peer = await sockets.open()
    await peer.send(say(PING, b"1"), say(PING, b"2"))
    assert [await peer.next(), await peer.next()] == [PongFrame(b"1"), PongFrame(b"2")]
    assert sockets.owners[0].told == []


@pytest.mark.parametrize(
    ("payload", "told", "answered"),
    [(close_payload(1000), 1000, 1000), (close_payload(3456, "so"), 3456, 3456), (b"", 1005, 1000)],
)
async def test_the_peer_closes(
    sockets: Sockets, until: Any, payload: bytes, told: int, answered: int
) -> None:
    """Its Close frame is answered, then the connection ends; what comes behind it is ignored."""
    peer = await sockets.open()
    await peer.send(say(CLOSE, payload), say(TEXT, b"too late"))
    event = await peer.next()
    assert isinstance(event, CloseFrame)
    assert event.code == answered
    assert await peer.client.ended()
    await until(lambda: sockets.service.server.open_connections == 0)
    assert sockets.owners[0].told == [("closed", True, told)]


async def test_we_close(sockets: Sockets, until: Any) -> None:
    """The Close frame leaves behind what was sent; the peer's answer ends the connection."""
    peer = await sockets.open()
    ours = sockets.owners[0].socket
    ours.send_raw(server_frame(TEXT, b"last words"))
    ours.pause_reading()
    ours.close(1013, "try again")
    ours.close(1000)
    ours.send_raw(server_frame(TEXT, b"never"))
    assert [await peer.next(), await peer.next()] == [Text(b"last words"), CloseFrame(1013, "try again")]
    await peer.send(say(TEXT, b"ignored"), say(CLOSE, close_payload(1013)))
    assert await peer.client.ended()
    await until(lambda: sockets.service.server.open_connections == 0)
    assert sockets.owners[0].told == [("closed", True, 1013)]


async def test_a_peer_that_does_not_answer_our_close_is_cut(sockets: Sockets, until: Any) -> None:
    """After `close_seconds` the connection ends all the same."""
    sockets.options["close_seconds"] = 0.01
    await sockets.open()
    sockets.owners[0].socket.close(1000)
    await until(lambda: sockets.service.server.open_connections == 0)
    assert sockets.owners[0].told == [("closed", False, 1006)]


async def test_a_peer_that_closes_and_does_not_read_is_cut(sockets: Sockets, until: Any) -> None:
    """Unsent bytes do not keep a closing connection for ever."""
    sockets.options["close_seconds"] = 0.01
    peer = await sockets.open()
    peer.client.writer.transport.pause_reading()
    owner = sockets.owners[0]
    owner.socket.send_raw(server_frame(BINARY, bytes(50_000_000)))
    assert owner.socket.busy
    await peer.send(say(CLOSE, close_payload(1000)))
    await until(lambda: sockets.service.server.open_connections == 0)
    assert owner.told == [("busy",), ("closed", True, 1000)]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (server_frame(TEXT, b"not masked"), 1002),
        (say(3), 1002),
        (say(TEXT, b"\xff"), 1007),
        (say(TEXT, b"x" * 1001), 1009),
        (say(TEXT, b"x" * 1001)[:8], 1009),
        (say(TEXT, deflate_message(b"x" * 1001), rsv1=True), 1009),
    ],
)
async def test_a_broken_rule_ends_it(sockets: Sockets, until: Any, frames: bytes, code: int) -> None:
    """The Close frame says what was wrong; the peer can read it though it goes on sending."""
    peer = await sockets.open("Sec-WebSocket-Extensions: permessage-deflate")
    await peer.send(frames)
    event = await peer.next()
    assert isinstance(event, CloseFrame)
    assert event.code == code
    await peer.send(say(TEXT, b"more") * 1000)
    assert await peer.client.ended()
    peer.client.close()
    await until(lambda: sockets.service.server.open_connections == 0)
    assert sockets.owners[0].told == [("closed", False, code)]


@pytest.mark.parametrize("leave", ["reset", "half"])
async def test_a_peer_that_vanishes(sockets: Sockets, until: Any, leave: str) -> None:
    """A reset, or an end without a Close frame, is told as 1006, once."""
    peer = await sockets.open()
    if leave == "reset":
        peer.client.reset()
    else:
        peer.client.writer.write_eof()
        assert await peer.client.ended()
    await until(lambda: sockets.service.server.open_connections == 0)
    assert sockets.owners[0].told == [("closed", False, 1006)]


async def test_abort_is_not_told(sockets: Sockets, until: Any) -> None:
    """Who cuts the connection knows it already."""
    peer = await sockets.open()
    sockets.owners[0].socket.abort()
    assert await peer.client.ended()
    await until(lambda: sockets.service.server.open_connections == 0)
    assert sockets.owners[0].told == []


async def test_an_owner_may_close_inside_a_message(sockets: Sockets) -> None:
    """Nothing of the same packet is told after it."""
    peer = await sockets.open()
    owner = sockets.owners[0]

    def close(data: bytes, is_text: bool) -> None:
        owner.told.append((data,))
        owner.socket.close(1008)

    owner.on_message = close  # type: ignore[method-assign]
    await peer.send(say(TEXT, b"1"), say(TEXT, b"2"), say(PING, b"3"))
    assert await peer.next() == CloseFrame(1008, "")
    assert owner.told == [(b"1",)]


async def test_reading_can_be_held(sockets: Sockets, until: Any) -> None:
    """While held nothing is told, whatever the peer sends; then all of it, in order."""
    peer = await sockets.open()
    owner = sockets.owners[0]
    owner.echo = False
    owner.socket.pause_reading()
    for number in range(2000):
        peer.client.writer.write(say(TEXT, b"%d" % number + b" " * 900))
    await asyncio.sleep(0)
    assert owner.told == []
    owner.socket.resume_reading()
    await until(lambda: len(owner.told) == 2000)
    assert [int(data) for _, data in owner.told] == list(range(2000))


async def test_a_stopped_reader_is_known_after_few_bytes(sockets: Sockets, until: Any) -> None:
    """`busy` begins once the kernel has its small share, `unsent` says the rest; `drained` ends it."""
    peer = await sockets.open()
    peer.client.writer.transport.pause_reading()
    owner, sent = sockets.owners[0], 0
    frame = server_frame(TEXT, b"s" * 2700)
    for _ in range(2000):  # long enough for both kernels' buffers to fill
        if not owner.socket.busy:
            owner.socket.send_raw(frame)
            sent += 1
        await asyncio.sleep(0)
    assert _is_busy(owner.socket)
    assert 0 < owner.socket.unsent <= len(frame)
    ours = owner.socket.transport.get_extra_info("socket")
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 96 * 1024  # what the kernel may use
    queued = int.from_bytes(fcntl.ioctl(ours.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    assert 0 < queued <= 96 * 1024
    await peer.send(*(say(PING, b"%d" % number) for number in range(1000)), say(TEXT, b"seen"))
    await until(lambda: ("text", b"seen") in owner.told)
    assert owner.socket.unsent <= len(frame) + 100  # answers to pings do not pile up
    peer.client.writer.transport.resume_reading()
    events = [await peer.next() for _ in range(sent + 2)]
    assert events[:sent] == [Text(b"s" * 2700)] * sent
    assert set(events[sent:]) == {Text(b"seen"), PongFrame(b"999")}
    await until(lambda: owner.told[-1] == ("drained",))
    assert not _is_busy(owner.socket)
    assert owner.socket.unsent == 0


def _is_busy(websocket: WebSocketProtocol) -> bool:
    return websocket.busy


async def test_a_stopped_reader_does_not_reach_its_neighbours(sockets: Sockets) -> None:
    """The frames of others leave at once while one has stopped reading."""
    stuck, good = await sockets.open(), await sockets.open()
    stuck.client.writer.transport.pause_reading()
    first, second = (owner.socket for owner in sockets.owners)
    frame = server_frame(TEXT, b"s" * 2700)
    for _ in range(500):
        if not first.busy:
            first.send_raw(frame)
        second.send_raw(frame)
        assert await good.next() == Text(b"s" * 2700)
    assert first.busy


async def test_the_same_under_tls(sockets: Sockets, certificate: Any, until: Any) -> None:
    """Messages, a large one, and both closes work over TLS."""
    await sockets.start(tls=server_context(*certificate))
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    sockets.options["max_message"] = 1_000_000
    peer = await sockets.open(tls=trust, early=say(TEXT, b"early"))
    assert await peer.next() == Text(b"early")
    await peer.send(say(TEXT, b"x" * 900_000))
    assert await peer.next() == Text(b"x" * 900_000)
    sockets.owners[0].socket.close(1001)
    while not isinstance(await peer.next(), CloseFrame):
        pass
    await peer.send(say(CLOSE, close_payload(1001)))
    assert await peer.client.ended()
    broken = await sockets.open(tls=trust)
    await broken.send(say(3))
    assert isinstance(await broken.next(), CloseFrame)
    broken.client.close()
    await until(lambda: sockets.service.server.open_connections == 0)
    assert [owner.told[-1] for owner in sockets.owners] == [("closed", True, 1001), ("closed", False, 1002)]


async def test_a_full_server_refuses_a_websocket(sockets: Sockets) -> None:
    """Open WebSockets hold their places; one more client is told 503."""
    await sockets.start(limits=HttpLimits(connections=1))
    await sockets.open()
    client = await sockets.service.connect()
    assert (await client.answer()).status == 503
