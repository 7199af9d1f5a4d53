"""Claims about stateful reconnect with a client that counts and acknowledges as the official one does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.signalr.conftest import NewHost
from tests.integration.signalr.hosting import SHAKE_STATEFUL, Host, HttpClient, Socket, until

from stakewire.net.signalr.options import HubOptions
from stakewire.wire.signalr.messages import Invocation

MESSAGES = 2


class Official:
    """Counts like `MessageBuffer.ts`: drops what it has seen, stops at a Sequence that skips something.

    Its weak spot is kept: it acknowledges the highest number that it ever saw, even while a replay has set
    its count back, and goes on counting from where that replay was cut.
    """

    def __init__(self) -> None:
        self.next = 1
        self.latest = 0
        self.heard: list[Any] = []
        self.in_sequence = True

    def take(self, message: dict[str, Any]) -> None:
        if message.get("type") == 9:
            assert message["sequenceId"] <= self.next, "the client would stop: something was skipped"
            self.next = message["sequenceId"]
            self.in_sequence = True
        elif message.get("type") == 1 and self.in_sequence:
            number, self.next = self.next, self.next + 1
            if number > self.latest:
                self.latest = number
                self.heard.append(message["arguments"][0])

    def take_bytes(self, data: bytes) -> None:
        """Everything complete in `data`, which is frames below 126 bytes, cut anywhere."""
        at = 0
        while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
            payload = data[at + 2 : at + 2 + data[at + 1]]
            at += 2 + data[at + 1]
            for record in payload.split(b"\x1e")[:-1]:
                self.take(json.loads(record))


@pytest.fixture
async def host(new_host: NewHost) -> Host:
    return await new_host(options=HubOptions(stateful_reconnect=True, compression=False))


async def _lose(host: Host, client: HttpClient) -> None:
    client.reset()
    await until(lambda: all(connection.link is None for connection in host.hub.here.values()))


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_a_replay_cut_at_every_byte_loses_and_doubles_nothing(host: Host, acknowledges: bool) -> None:
    """Two replays in a row are cut, the second one later; an early Ack in between moves nothing forward."""
    cut, whole = 0, 1
    while cut < whole:
        offer = await host.negotiate("?negotiateVersion=1&useStatefulReconnect=true")
        target = f"?id={offer['connectionToken']}"
        official = Official()
        client = await host.websocket(target)
        await client.shake(SHAKE_STATEFUL)
        connection = host.hub.only
        for number in range(MESSAGES):
            connection.send(Invocation("Tick", [number]))
        for _ in range(MESSAGES):
            official.take(await client.hear())
        await _lose(host, client.http)
        connection.send(Invocation("Tick", [MESSAGES]))

        whole, said = 1000, 0
        for place in (cut, cut // 2):
            client = await host.websocket(target)
            official.in_sequence = False
            client.say({"type": 9, "sequenceId": said + 1})
            await until(lambda: _buffered(client) >= 40 * MESSAGES)  # noqa: B023 - awaited here
            data = await client.http.reader.read(1 << 16)
            whole = min(whole, len(data))
            official.take_bytes(data[:place])
            if acknowledges:
                acks, said = len(host.hub.messages), said + 1
                client.say(
                    {"type": 8, "sequenceId": official.latest}, {"type": 1, "target": "T", "arguments": []}
                )
                await until(lambda: len(host.hub.messages) > acks or connection.link is None)  # noqa: B023
            await _lose(host, client.http)

        client = await host.websocket(target)
        client.say({"type": 9, "sequenceId": said + 1})
        official.in_sequence = False
        while len(official.heard) < MESSAGES + 1:
            official.take(await client.hear())
        assert official.heard == list(range(MESSAGES + 1))
        connection.abort()
        client.http.close()
        cut += 1


def _buffered(client: Socket) -> int:
    return len(client.http.reader._buffer)  # type: ignore[attr-defined]
