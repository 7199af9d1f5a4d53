"""Claims about hubs over server-sent events with POSTs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.integration.signalr.conftest import NewHost
from tests.integration.signalr.hosting import (
    PATH,
    SHAKE,
    SHAKE_MESSAGEPACK,
    Answer,
    Host,
    HttpClient,
    until,
)

from stakewire.net.signalr.options import HubOptions

ACCEPT = "Accept: text/event-stream"


class EventStream:
    """A client of server-sent events that keeps to one line of data per event."""

    def __init__(self, host: Host, token: str, http: HttpClient, answer: Answer) -> None:
        self.host = host
        self.token = token
        self.http = http
        self.answer = answer
        self._records: list[bytes] = []

    async def hear(self) -> Any:
        """The next hub message that is no ping."""
        while True:
            while not self._records:
                event = await asyncio.wait_for(self.http.reader.readuntil(b"\r\n\r\n"), 5)
                if event != b":\r\n\r\n":
                    assert event.startswith(b"data: ")
                    assert event.endswith(b"\x1e\r\n\r\n")
                    self._records = event[6:-5].split(b"\x1e")
            message = json.loads(self._records.pop(0))
            if message.get("type") != 6:
                return message

    async def post(self, body: bytes) -> int:
        return (await self.host.ask("POST", f"?id={self.token}", body=body)).status

    async def ended(self) -> bytes:
        return await asyncio.wait_for(self.http.reader.read(), 5)


async def open_stream(host: Host) -> EventStream:
    token = (await host.negotiate())["connectionToken"]
    http = await host.http()
    http.begin("GET", f"{PATH}?id={token}", ACCEPT)
    return EventStream(host, token, http, await http.head())


async def test_a_stream_begins_with_a_comment(host: Host) -> None:
    """The head keeps proxies and caches away, and a first byte tells browsers that the stream is open."""
    stream = await open_stream(host)
    assert stream.answer.status == 200
    headers = stream.answer.headers
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-cache,no-store"
    assert headers["content-encoding"] == "identity"
    assert await stream.http.reader.readuntil(b"\r\n\r\n") == b":\r\n\r\n"


async def test_posts_go_up_and_events_come_down(host: Host) -> None:
    """A POST is answered 200 and empty when its messages were handed to the hub."""
    stream = await open_stream(host)
    assert await stream.post(SHAKE) == 200
    assert await stream.hear() == {}
    call = {"type": 1, "target": "Echo", "arguments": ["line\nbreak"], "invocationId": "9"}
    assert await stream.post(json.dumps(call).encode() + b"\x1e") == 200
    assert await stream.hear() == {"type": 3, "invocationId": "9", "result": "line\nbreak"}


async def test_messagepack_does_not_fit_into_events(host: Host) -> None:
    """It is binary: the handshake is refused in .NET's words."""
    stream = await open_stream(host)
    assert await stream.post(SHAKE_MESSAGEPACK) == 200
    assert (await stream.hear())["error"].startswith(
        "Cannot use the 'messagepack' protocol on the current transport."
    )
    assert await stream.ended() == b""
    await until(lambda: host.known == 0)


async def test_the_end_of_the_request_is_the_end_of_the_connection(host: Host) -> None:
    """An event stream has no other goodbye, so its id is unknown from then on."""
    stream = await open_stream(host)
    await stream.post(SHAKE)
    await stream.hear()
    stream.http.close()
    await until(lambda: len(host.hub.ended) == 1)
    assert await stream.post(b"") == 404


async def test_the_hub_ends_a_stream_with_a_message(host: Host) -> None:
    """Type 7, then the end of the response."""
    stream = await open_stream(host)
    await stream.post(SHAKE)
    await stream.hear()
    host.hub.only.close(allow_reconnect=True)
    assert await stream.hear() == {"type": 7, "allowReconnect": True}
    assert await stream.ended() == b""


async def test_posts_wait_for_each_other_within_a_bound(new_host: NewHost) -> None:
    """While reading is held POSTs wait in order; one too many is answered 429, and nothing else happens."""
    host = await new_host(options=HubOptions(max_waiting_posts=2))
    stream = await open_stream(host)
    await stream.post(SHAKE + b'{"type":1,"target":"Hold","arguments":[]}\x1e')
    waiting = []
    for number in range(2):
        client = await host.http()
        body = b'{"type":1,"target":"%d","arguments":[]}\x1e' % number
        client.begin("POST", f"{PATH}?id={stream.token}", body=body)
        waiting.append(client)
        await asyncio.sleep(0.01)
    assert await stream.post(b"") == 429
    host.hub.only.hold_reading(False)
    assert [(await client.answer()).status for client in waiting] == [200, 200]
    assert [message.target for _, message in host.hub.messages] == ["Hold", "0", "1"]  # type: ignore[union-attr]
    assert await stream.post(b"") == 200


async def test_waiting_posts_end_with_the_connection(host: Host) -> None:
    """Nobody will read them: 404."""
    stream = await open_stream(host)
    await stream.post(SHAKE + b'{"type":1,"target":"Hold","arguments":[]}\x1e')
    client = await host.http()
    client.begin("POST", f"{PATH}?id={stream.token}", body=b"x")
    await asyncio.sleep(0.01)
    host.hub.only.close()
    assert (await client.answer()).status == 404
