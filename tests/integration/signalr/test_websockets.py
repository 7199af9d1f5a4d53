"""Claims about hubs over WebSockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.integration.signalr.conftest import NewHost
from tests.integration.signalr.hosting import KEY, SHAKE, SHAKE_MESSAGEPACK, Host, Socket, until

from stakewire.net.signalr.connection import HubConnection
from stakewire.net.signalr.options import HubOptions
from stakewire.wire.signalr.messages import HubMessage, Invocation
from stakewire.wire.signalr.protocol import MESSAGEPACK
from stakewire.wire.signalr.shared import SharedMessage
from stakewire.wire.websocket.frames import PING, Binary, PongFrame, Text, client_frame


async def test_a_bare_client_needs_no_negotiation(host: Host) -> None:
    """An upgrade without `id` makes a connection; the answer `{}` and a ping follow the handshake at once."""
    client = await host.websocket()
    client.send(SHAKE)
    assert await client.record() == b"{}"
    assert await client.record() == b'{"type":6}'
    assert await client.call({"any": ["value"]}) == {"any": ["value"]}


async def test_a_negotiated_client_connects_by_its_token(host: Host) -> None:
    """The token of negotiation names the connection, the hub sees its public id; v0 has one for both."""
    v1 = await host.negotiate()
    assert v1["connectionToken"] != v1["connectionId"]
    client = await host.connect(f"?id={v1['connectionToken']}")
    assert await client.call(1) == 1
    assert host.hub.only.id == v1["connectionId"]

    v0 = await host.negotiate("")
    assert "connectionToken" not in v0
    await host.connect(f"?id={v0['connectionId']}")
    assert v0["connectionId"] in host.hub.here


async def test_the_handshake_answer_stands_in_a_frame_of_its_own(host: Host) -> None:
    """Naive clients parse each frame as one message."""
    client = await host.websocket()
    client.send(SHAKE)
    assert await client.event() == Text(b"{}\x1e")
    assert await client.event() == Text(b'{"type":6}\x1e')


async def test_messagepack_travels_in_binary_frames(host: Host) -> None:
    """The handshake is JSON, but its answer already has the protocol's frame type."""
    client = await host.websocket()
    client.protocol = MESSAGEPACK
    client.send(SHAKE_MESSAGEPACK, binary=True)
    assert await client.event() == Binary(b"{}\x1e")
    assert await client.event() == Binary(b"\x02\x91\x06")
    client.send(MESSAGEPACK.write(Invocation("Echo", ["hallo"], "7")), binary=True)
    record = await client.record()
    assert record is not None
    assert record == bytes.fromhex("9503 80 a137 03 a568616c6c6f".replace(" ", ""))


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_three_handshake_versions_are_taken(host: Host, version: int) -> None:
    """1 is usual, 2 belongs to stateful reconnect, 0 comes from clients that negotiated version 0."""
    client = await host.websocket()
    await client.shake(b'{"protocol":"json","version":%d}\x1e' % version)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (b'{"protocol":"blazorpack","version":1}\x1e', "The protocol 'blazorpack' is not supported."),
        (
            b'{"protocol":"json","version":3}\x1e',
            "The server does not support version 3 of the 'json' protocol.",
        ),
        (b"x" * 5000, "Handshake was canceled."),
    ],
)
async def test_a_wrong_handshake_is_told_and_closed(host: Host, words: bytes, error: str) -> None:
    """The texts are .NET's; the hub never hears of such a client."""
    client = await host.websocket()
    client.send(words)
    assert await client.hear() == {"error": error}
    closed = await client.ended()
    assert closed is not None
    assert closed.code == 1000
    await until(lambda: host.known == 0)
    assert not host.hub.here
    assert not host.hub.ended


async def test_words_of_no_handshake_are_refused(host: Host) -> None:
    """Whatever is no handshake gets an error without a `type`, as clients expect in this place."""
    client = await host.websocket()
    client.send(b'["no"]\x1e')
    assert set(await client.hear()) == {"error"}
    await client.ended()


async def test_incoming_frames_are_one_stream(host: Host) -> None:
    """Messages may be cut anywhere, or share a frame with each other and with the handshake."""
    client = await host.websocket()
    call = (
        json.dumps({"type": 1, "target": "Echo", "arguments": ["ä"], "invocationId": "1"}).encode() + b"\x1e"
    )
    client.send(SHAKE + call + call[:20])
    client.send(call[20:25], binary=True)
    client.send(call[25:] + call)
    assert await client.hear() == {}
    assert [(await client.hear())["result"] for _ in range(3)] == ["ä"] * 3


async def test_a_handshake_may_come_byte_by_byte(host: Host) -> None:
    """Each byte in a frame of its own."""
    client = await host.websocket()
    for byte in SHAKE:
        client.send(bytes([byte]))
    assert await client.hear() == {}


async def test_compression_is_used_only_if_agreed_on_and_worth_it(host: Host) -> None:
    """The deflated frame of a shared message is the same object for every such client."""
    plain = await host.connect()
    deflated = await host.connect("", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
    shared = SharedMessage(Invocation("Tick", ["tick " * 200]))
    for connection in host.hub.here.values():
        connection.send_shared(shared)
    for client in (plain, deflated):
        assert (await client.hear())["arguments"] == ["tick " * 200]
    frames = {len(shared.frame(connection.variant)) for connection in host.hub.here.values()}
    assert min(frames) < 100 < 1000 < max(frames)
    assert "server_no_context_takeover" in deflated.answer.headers["sec-websocket-extensions"]


async def test_compression_can_be_switched_off(new_host: NewHost) -> None:
    """The offer is then left without an answer."""
    host = await new_host(options=HubOptions(compression=False))
    client = await host.connect("", "Sec-WebSocket-Extensions: permessage-deflate")
    assert "sec-websocket-extensions" not in client.answer.headers


async def test_messages_wait_until_the_hub_has_taken_the_connection(host: Host) -> None:
    """What the client sends behind its handshake is kept, in order, while `connected` runs."""
    host.hub.greet = asyncio.Event()
    client = await host.connect()
    client.say({"type": 1, "target": "A", "arguments": []}, {"type": 1, "target": "B", "arguments": []})
    await until(lambda: len(host.hub.here) == 1)
    assert host.hub.messages == []
    host.hub.greet.set()
    await until(lambda: len(host.hub.messages) == 2)
    assert [message.target for _, message in host.hub.messages if isinstance(message, Invocation)] == [
        "A",
        "B",
    ]


async def test_a_client_that_leaves_meanwhile_is_still_told_of(host: Host) -> None:
    """`disconnected` follows `connected`, never overtakes it, and nothing of what waited is handled."""
    host.hub.greet = asyncio.Event()
    client = await host.connect()
    client.say({"type": 1, "target": "A", "arguments": []})
    await until(lambda: len(host.hub.here) == 1)
    host.hub.only.close()
    await client.ended()
    assert not host.hub.ended
    host.hub.greet.set()
    await until(lambda: len(host.hub.ended) == 1)
    assert not host.hub.messages


async def test_a_hub_that_fails_on_connect_closes_without_telling_why(host: Host) -> None:
    """The exception stays inside; the client gets one general sentence."""
    host.hub.refuse = True
    client = await host.connect()
    assert await client.hear() == {"type": 7, "error": "Connection closed with an error."}
    await client.ended()
    await until(lambda: host.known == 0)


async def test_the_client_may_say_goodbye_in_three_ways(host: Host) -> None:
    """A Close message, a Close frame and the bare end of the connection all end it once."""

    async def by_message(client: Socket) -> None:
        client.say({"type": 7})
        closed = await client.ended()
        assert closed is not None
        assert closed.code == 1000

    async def by_frame(client: Socket) -> None:
        client.http.writer.write(client_frame(8, (1000).to_bytes(2, "big"), KEY))
        await client.ended()

    async def by_end(client: Socket) -> None:
        client.http.reset()

    for goodbye, error in (
        (by_message, None),
        (by_frame, None),
        (by_end, "The client's transport was lost."),
    ):
        client = await host.connect()
        host.hub.ended.clear()
        await goodbye(client)
        await until(lambda: host.known == 0)
        assert list(host.hub.ended.values()) == [error]


async def test_the_hub_closes_with_a_message_and_a_code(host: Host) -> None:
    """Type 7 says why and whether to come back; then the WebSocket closes in order."""
    client = await host.connect()
    await until(lambda: len(host.hub.here) == 1)
    host.hub.only.close("Enough.", allow_reconnect=True, code=1013)
    assert await client.hear() == {"type": 7, "error": "Enough.", "allowReconnect": True}
    closed = await client.ended()
    assert closed is not None
    assert closed.code == 1013
    assert list(host.hub.ended.values()) == ["Enough."]


async def test_websocket_pings_are_answered(host: Host) -> None:
    """By the frame layer, before and after the handshake."""
    client = await host.websocket()
    client.http.writer.write(client_frame(PING, b"are you there", KEY))
    assert await client.event() == PongFrame(b"are you there")


async def test_reading_can_be_held_between_two_messages(host: Host) -> None:
    """What has arrived waits in order; nothing further is read until the hub lets go."""
    client = await host.connect()
    say: list[dict[str, Any]] = [{"type": 1, "target": "Hold", "arguments": []}]
    say += [{"type": 1, "target": "Echo", "arguments": [n], "invocationId": str(n)} for n in range(3)]
    client.say(*say)
    await until(lambda: len(host.hub.messages) == 1)
    client.say(say[-1])
    await asyncio.sleep(0.01)
    assert len(host.hub.messages) == 1
    host.hub.only.hold_reading(False)
    assert [(await client.hear())["result"] for _ in range(4)] == [0, 1, 2, 2]


async def test_a_hold_that_is_taken_back_at_once_stops_nothing(host: Host) -> None:
    """Inside the handling of one message; the next ones, and what is read later, go their way."""
    client = await host.connect()
    take = host.hub.message

    def hold_for_a_moment(connection: HubConnection, message: HubMessage) -> None:
        connection.hold_reading(True)
        connection.hold_reading(False)
        take(connection, message)

    host.hub.message = hold_for_a_moment  # type: ignore[method-assign]
    client.say(*({"type": 1, "target": "Echo", "arguments": [n], "invocationId": str(n)} for n in range(3)))
    assert [(await client.hear())["result"] for _ in range(3)] == [0, 1, 2]
    assert await client.call("later") == "later"


async def test_stop_sends_everybody_away_to_reconnect(host: Host) -> None:
    """Each client is told to come back, the sockets close in order, and nobody new is let in."""
    clients = [await host.connect() for _ in range(3)]
    waiting = await host.negotiate()
    stopping = asyncio.create_task(host.endpoint.stop(5.0))
    for client in clients:
        assert await client.hear() == {"type": 7, "allowReconnect": True}
        closed = await client.ended()
        assert closed is not None
        assert closed.code == 1000
    await stopping
    assert host.known == 0
    assert (await host.ask("POST", "/negotiate")).status == 503
    assert (await host.upgrade())[1].status == 503
    assert (await host.ask("GET", f"?id={waiting['connectionToken']}")).status == 404
