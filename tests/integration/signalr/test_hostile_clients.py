"""Claims about clients that mean harm: each gets its answer, and the others notice nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import tracemalloc

import pytest
from tests.integration.signalr.conftest import NewHost
from tests.integration.signalr.hosting import KEY, PATH, SHAKE, Host, Socket, until

from stakewire.net.signalr.options import HubOptions
from stakewire.wire.signalr.messages import Invocation
from stakewire.wire.websocket.frames import TEXT, mask


@pytest.fixture
async def bystander(host: Host) -> Socket:
    """A well-behaved client, which must not notice."""
    return await host.connect()


async def test_a_message_beyond_the_bound_ends_its_sender(host: Host, bystander: Socket) -> None:
    """In one frame or over many: type 7, then 1009; at no time is more than the bound kept."""
    for pieces in (1, 10):
        client = await host.connect()
        size = 40_000 // pieces
        for _ in range(pieces):
            client.send(b"x" * size)
        said = await client.hear()
        assert (said["type"], "allowReconnect" in said) == (7, False)
        closed = await client.ended()
        assert closed is not None
        assert closed.code == 1009
    assert await bystander.call(1) == 1


async def test_a_frame_beyond_the_bound_is_refused_by_its_head(host: Host, bystander: Socket) -> None:
    """A head that announces 2**62 bytes, or fragments without an end: 1009 before any of it is kept."""
    client = await host.connect()
    client.http.writer.write(bytes((0x81, 0xFF)) + (2**62).to_bytes(8, "big") + KEY)
    closed = await client.ended()
    assert closed is not None
    assert closed.code == 1009

    endless = await host.connect()
    piece = bytes((TEXT, 0x80 | 126)) + (16_000).to_bytes(2, "big") + KEY + mask(b"x" * 16_000, KEY)
    endless.http.writer.write(piece)
    for _ in range(8):
        endless.http.writer.write(bytes((0x00,)) + piece[1:])
    closed = await endless.ended()
    assert closed is not None
    assert closed.code == 1009
    assert await bystander.call(1) == 1


async def test_frames_that_are_none_end_their_sender(host: Host, bystander: Socket) -> None:
    """Unmasked, reserved bits, unknown opcodes, text that is no UTF-8: the code says which rule it was."""
    for raw, code in (
        (b"\x81\x02{}", 1002),
        (b"\xf1\x80" + KEY, 1002),
        (b"\x83\x80" + KEY, 1002),
        (b"\x81\x81" + KEY + bytes([0xFF ^ KEY[0]]), 1007),
    ):
        client = await host.connect()
        client.http.writer.write(raw)
        closed = await client.ended()
        assert closed is not None
        assert closed.code == code
    assert await bystander.call(1) == 1


@pytest.mark.parametrize(
    "words",
    [
        b"\x1e",
        b"nonsense\x1e",
        b'{"type":1}\x1e',
        b'{"type":"1","target":"x","arguments":[]}\x1e',
        b'{"type":1,"target":"","arguments":[]}\x1e',
        b'{"type":1,"target":"x","arguments":{}}\x1e',
        b"[" * 20_000 + b"\x1e",
        b'{"type":1,"target":"x","arguments":' + b"[" * 20_000 + b"]" * 20_000 + b"}\x1e",
        b"\xff\xfe\x1e",
    ],
)
async def test_words_that_are_no_message_end_their_sender(
    host: Host, bystander: Socket, words: bytes
) -> None:
    """Type 7 with an error that quotes nothing of ours, and no leave to come back."""
    client = await host.connect()
    client.send(words, binary=True)
    said = await client.hear()
    assert said["type"] == 7
    assert said["error"].startswith("Connection closed with an error.")
    assert "allowReconnect" not in said
    await client.ended()
    assert await bystander.call(1) == 1


async def test_unknown_types_and_stray_messages_are_ignored(host: Host) -> None:
    """Future types, acknowledgements without stateful reconnect, and a second handshake's worth of pings."""
    client = await host.connect()
    client.say(
        {"type": 99}, {"type": 8, "sequenceId": 5}, {"type": 9, "sequenceId": 5}, {"type": 6}, {"type": 6}
    )
    assert await client.call(1) == 1


async def test_random_bytes_do_no_harm(host: Host, bystander: Socket) -> None:
    """Before the upgrade, before the handshake and after it; nothing of theirs is left at the end."""
    chance = random.Random(7)
    for number in range(60):
        noise = chance.randbytes(chance.randrange(1, 400))
        if number % 3 == 0:
            http = await host.http()
            http.writer.write(b"GET " + PATH.encode() + b" HTTP/1.1\r\n" + noise)
            http.close()
            continue
        client = await host.websocket()
        if number % 3 == 1:
            client.send(SHAKE)
            client.send(noise, binary=True)
        else:
            client.http.writer.write(noise)
        client.http.writer.write_eof()
        await client.http.reader.read()
    await until(lambda: host.known == 1)
    assert await bystander.call(1) == 1


async def test_a_reader_that_is_stuck_costs_a_bounded_amount(host: Host, bystander: Socket) -> None:
    """At most 300 KB with the kernel's share; then it is closed, and its memory is free."""
    client = await host.websocket(receive_buffer=4096)
    await client.shake()
    stuck = next(c for c in host.hub.here.values() if c.id != _first(host))
    link = stuck.link
    assert link is not None
    most = 0
    while not stuck.closed:
        stuck.send(Invocation("Tick", ["x" * 2_700]))
        most = max(most, link.unsent)
    assert most + 96 * 1024 <= 300_000
    assert await bystander.call(1) == 1
    client.http.close()
    await until(lambda: host.known == 1)
    assert host.hub.ended[stuck.id] == "The client does not read what is sent to it."


def _first(host: Host) -> str:
    return next(iter(host.hub.here))


async def test_a_flood_of_calls_is_read_no_faster_than_it_is_worked_off(
    host: Host, bystander: Socket
) -> None:
    """With reading held the flood stays with its sender: what waits here is what had been read before."""
    client = await host.connect()
    flood = b'{"type":1,"target":"Hold","arguments":[]}\x1e' * 500
    for _ in range(200):
        client.send(flood)
    await until(lambda: len(host.hub.messages) == 1)
    (guilty,) = {connection_id for connection_id, _ in host.hub.messages}
    connection = host.hub.here[guilty]
    for _ in range(50):
        connection.hold_reading(False)
    assert len(host.hub.messages) == 51
    before = client.http.writer.transport.get_write_buffer_size()
    await asyncio.sleep(0.02)
    assert client.http.writer.transport.get_write_buffer_size() == before > 0
    assert await bystander.call(1) == 1


async def test_compressed_bombs_are_not_inflated(host: Host, bystander: Socket) -> None:
    """A message of 1 KB that would become a megabyte: 1009."""
    import zlib

    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (deflater.compress(b"x" * 1_000_000) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    client = await host.websocket("", "Sec-WebSocket-Extensions: permessage-deflate")
    await client.shake()
    head = bytes((0xC1, 0x80 | 126)) + len(bomb).to_bytes(2, "big") + KEY
    client.http.writer.write(head + mask(bomb, KEY))
    closed = await client.ended()
    assert closed is not None
    assert closed.code == 1009
    assert await bystander.call(1) == 1


async def test_posts_beyond_the_bound_are_refused(host: Host) -> None:
    """413 while the body is read; the connection it was for lives on."""
    token = (await host.negotiate())["connectionToken"]
    await host.ask("GET", f"?id={token}")
    assert (await host.ask("POST", f"?id={token}", body=b"x" * 200_000)).status == 413
    assert (await host.ask("POST", f"?id={token}", body=SHAKE)).status == 200


async def test_guessed_ids_lead_nowhere(host: Host, bystander: Socket) -> None:
    """Neither the public id of a connection nor odd names: 404, and no text says more than that."""
    public = _first(host)
    for name in (public, "", "%00", "../..", "x" * 4000, "%F0%9F%98%80"):
        answer = await host.ask("POST", f"?id={name}", body=b"{}\x1e")
        assert answer.status == (404 if name else 400)
    negotiated = await host.negotiate()
    await host.connect(f"?id={negotiated['connectionToken']}")
    assert (await host.upgrade(f"?id={negotiated['connectionId']}"))[1].status == 404
    assert await bystander.call(1) == 1


async def test_connections_that_come_and_go_leave_no_memory(new_host: NewHost) -> None:
    """After 300 clients of every sort nothing of them is left."""
    host = await new_host(options=HubOptions(stateful_reconnect=True))

    async def wave() -> None:
        for number in range(60):
            offer = await host.negotiate("?negotiateVersion=1&useStatefulReconnect=true")
            target = f"?id={offer['connectionToken']}"
            if number % 3 == 0:
                client = await host.connect(target)
                await client.call("x" * 1000)
                client.http.reset()
            elif number % 3 == 1:
                await host.ask("GET", target)
                await host.ask("POST", target, body=SHAKE)
        for http in host.clients:
            http.close()
        host.clients.clear()
        await asyncio.sleep(0.01)
        for _ in range(3):
            host.pass_time(20)
        await until(lambda: host.known == 0)
        host.hub.messages.clear()
        host.hub.ended.clear()
        gc.collect()

    await wave()
    tracemalloc.start()
    try:
        await wave()
        before, _ = tracemalloc.get_traced_memory()
        await wave()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 60 * 500, f"{after - before} bytes more ({os.getpid()})"
