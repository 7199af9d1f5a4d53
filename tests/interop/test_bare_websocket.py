"""A partner without any SignalR client: the documented handshake by hand, over any WebSocket library."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest
from tests.interop.hub import token_for
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

END = "\x1e"


@asynccontextmanager
async def opened(server: dict[str, str], protocol: str) -> AsyncIterator[ClientConnection]:
    """A WebSocket without negotiation, with the token in the query, that has sent its handshake."""
    address = f"{server['base'].replace('http', 'ws')}/hub?access_token={token_for('partner')}"
    async with connect(address) as socket:
        await socket.send(json.dumps({"protocol": protocol, "version": 1}) + END)
        yield socket


async def messages(socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    """All that the server says, message by message."""
    async for text in socket:
        assert isinstance(text, str), "JSON goes in text frames"
        assert text.endswith(END)
        for record in text.split(END)[:-1]:
            yield json.loads(record)


async def test_the_documented_handshake_by_hand(server: dict[str, str]) -> None:
    """`{}` answers it and a ping follows at once, which those wait for who read the vendors' pages."""
    async with opened(server, "json") as socket:
        said = messages(socket)
        assert await anext(said) == {}
        assert await anext(said) == {"type": 6}
        call = {"type": 1, "invocationId": "any text", "target": "add", "arguments": [2, 40]}
        await socket.send(json.dumps(call) + END)
        answer = await anext(said)
        while answer["type"] == 6:
            answer = await anext(said)
        assert answer == {"type": 3, "invocationId": "any text", "result": 42}


async def test_calls_in_one_frame_and_one_call_in_two(server: dict[str, str]) -> None:
    """To the server a WebSocket is a stream of bytes: where its frames end means nothing."""
    first, second, third = (
        json.dumps({"type": 1, "target": "Echo", "invocationId": number, "arguments": [number]}) + END
        for number in "123"
    )
    async with opened(server, "json") as socket:
        await socket.send(first + second + third[:20])
        await socket.send(third[20:])
        results = []
        async for said in messages(socket):
            if said.get("type") == 3:
                results.append(said["result"])
            if len(results) == 3:
                break
        assert results == ["1", "2", "3"]


async def test_message_pack_by_hand(server: dict[str, str]) -> None:
    """The handshake is JSON all the same; the ping is the two bytes of the page, and calls are arrays."""
    async with opened(server, "messagepack") as socket:
        assert await socket.recv() == b"{}\x1e"
        assert await socket.recv() == b"\x02\x91\x06"
        call = msgpack.packb([1, {}, "7", "Add", [2, 40], []])
        await socket.send(bytes([len(call)]) + call)
        while (answer := await socket.recv()) == b"\x02\x91\x06":
            pass
        assert isinstance(answer, bytes)
        assert msgpack.unpackb(answer[1:]) == [3, {}, "7", 3, 42]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ('{"protocol":"blazorpack","version":1}', "The protocol 'blazorpack' is not supported."),
        ('{"protocol":"json","version":9}', "The server does not support version 9 of the 'json' protocol."),
    ],
)
async def test_a_handshake_that_cannot_be_served_says_why(
    server: dict[str, str], sent: str, why: str
) -> None:
    """As .NET's server says it; then the connection ends."""
    address = f"{server['base'].replace('http', 'ws')}/hub?access_token={token_for('partner')}"
    async with connect(address) as socket:
        await socket.send(sent + END)
        answer = await socket.recv()
        assert isinstance(answer, str)
        assert json.loads(answer.removesuffix(END)) == {"error": why}
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_without_a_token_there_is_no_socket(server: dict[str, str]) -> None:
    """The upgrade itself is refused."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{server['base'].replace('http', 'ws')}/hub")
    assert refused.value.response.status_code == 401
