"""Claims about connections that outlive their WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.integration.signalr.conftest import NewHost
from tests.integration.signalr.hosting import KEY, SHAKE_STATEFUL, Host, Socket, until

from stakewire.net.signalr.options import HubOptions
from stakewire.wire.signalr.messages import Invocation
from stakewire.wire.websocket.frames import client_frame

ASK = "?negotiateVersion=1&useStatefulReconnect=true"


@pytest.fixture
async def host(new_host: NewHost) -> Host:
    return await new_host(options=HubOptions(stateful_reconnect=True))


async def begin(host: Host, *headers: str) -> tuple[Socket, str]:
    """A client that is connected with stateful reconnect, and the target to come back to."""
    target = f"?id={(await host.negotiate(ASK))['connectionToken']}"
    client = await host.websocket(target, *headers)
    await client.shake(SHAKE_STATEFUL)
    return client, target


async def lose(host: Host, client: Socket) -> None:
    """Cut the line, and wait until the server has noticed."""
    client.http.reset()
    await until(lambda: host.hub.only.link is None)


def echo(number: int) -> dict[str, Any]:
    return {"type": 1, "target": "Echo", "arguments": [number], "invocationId": str(number)}


async def test_it_is_offered_only_if_both_want_it(host: Host, new_host: NewHost) -> None:
    """A client that did not ask would refuse the answer."""
    assert (await host.negotiate(ASK))["useStatefulReconnect"] is True
    assert "useStatefulReconnect" not in await host.negotiate()
    assert "useStatefulReconnect" not in await (await new_host()).negotiate(ASK)


async def test_what_was_lost_is_sent_again_and_nothing_twice(host: Host) -> None:
    """Both sides say from where they replay; what the other has seen is dropped."""
    client, target = await begin(host)
    assert await client.call(1, "1") == 1
    client.say({"type": 8, "sequenceId": 1}, echo(2))
    await until(lambda: len(host.hub.messages) == 2)
    await lose(host, client)
    host.hub.only.send(Invocation("Missed", []))

    again = await host.websocket(target)
    assert await again.hear() == {"type": 9, "sequenceId": 2}
    assert await again.hear() == {"type": 3, "invocationId": "2", "result": 2}
    assert (await again.hear())["target"] == "Missed"
    again.say({"type": 9, "sequenceId": 2}, echo(2), echo(3))
    assert await again.hear() == {"type": 3, "invocationId": "3", "result": 3}
    assert len(host.hub.messages) == 3
    assert not host.hub.ended


async def test_nothing_is_believed_before_the_clients_sequence(host: Host) -> None:
    """After a reconnect everything is ignored until the client has said where it goes on."""
    client, target = await begin(host)
    await lose(host, client)
    again = await host.websocket(target)
    again.say(echo(7), {"type": 6}, {"type": 9, "sequenceId": 1}, echo(8))
    assert await again.hear() == {"type": 9, "sequenceId": 1}
    assert await again.hear() == {"type": 3, "invocationId": "8", "result": 8}
    assert len(host.hub.messages) == 1


async def test_a_sequence_beyond_what_came_ends_the_connection(host: Host) -> None:
    """Something was lost for good: both sides must begin anew."""
    client, target = await begin(host)
    await lose(host, client)
    again = await host.websocket(target)
    again.say({"type": 9, "sequenceId": 5})
    assert (await again.hear())["type"] == 9
    assert (await again.hear())["type"] == 7
    await again.ended()
    assert (await host.upgrade(target))[1].status == 404


async def test_messages_are_acknowledged_within_two_seconds(host: Host) -> None:
    """One Ack for all that came, and none while nothing comes."""
    client, _ = await begin(host)
    for number in range(3):
        await client.call(number, str(number))
    host.pass_time(2)
    assert await client.hear() == {"type": 8, "sequenceId": 3}
    host.pass_time(2)
    assert await client.call(4) == 4


async def test_much_is_acknowledged_at_once(host: Host) -> None:
    """A client that uploads does not have to wait for the second: its own buffer is bounded."""
    client, _ = await begin(host)
    client.say({"type": 1, "target": "Echo", "arguments": ["x" * 13_000]})
    client.say({"type": 1, "target": "Echo", "arguments": ["x" * 13_000]})
    assert await client.hear() == {"type": 8, "sequenceId": 2}


async def test_acknowledged_messages_are_forgotten(host: Host) -> None:
    """A sender who waits for room goes on when the client acknowledges."""
    client, target = await begin(host)
    connection = host.hub.only
    for _ in range(6):
        connection.send(Invocation("Tick", ["x" * 20_000]))
    for _ in range(6):
        await client.hear()
    assert connection.busy
    waiting = asyncio.create_task(connection.drained())
    await asyncio.sleep(0)
    client.say({"type": 8, "sequenceId": 6})
    await waiting
    await lose(host, client)
    again = await host.websocket(target)
    assert await again.hear() == {"type": 9, "sequenceId": 7}


async def test_a_client_that_never_acknowledges_is_closed(host: Host) -> None:
    """Twice the buffer is the bound, with or without a transport."""
    client, target = await begin(host)
    await lose(host, client)
    connection = host.hub.only
    for _ in range(20):
        connection.send(Invocation("Tick", ["x" * 20_000]))
    assert connection.closed
    await until(lambda: host.known == 0)
    assert (await host.upgrade(target))[1].status == 404


async def test_who_does_not_come_back_is_gone_after_15_seconds(host: Host) -> None:
    """Until then the hub knows nothing of the loss; then the id is unknown."""
    client, target = await begin(host)
    await lose(host, client)
    host.pass_time(14)
    assert not host.hub.ended
    host.pass_time(2)
    assert list(host.hub.ended.values()) == ["The client did not come back."]
    assert (await host.upgrade(target))[1].status == 404


async def test_a_goodbye_in_order_is_final(host: Host) -> None:
    """Close code 1000 and type 7 end it at once; only a line that breaks is worth waiting for."""

    def by_frame(client: Socket) -> None:
        client.http.writer.write(client_frame(8, (1000).to_bytes(2, "big"), KEY))

    def by_message(client: Socket) -> None:
        client.say({"type": 7})

    for goodbye in (by_frame, by_message):
        client, target = await begin(host)
        goodbye(client)
        await client.ended()
        await until(lambda: host.known == 0)
        assert (await host.upgrade(target))[1].status == 404


async def test_a_browser_that_goes_away_may_come_back(host: Host) -> None:
    """Close code 1001 is no goodbye: a page that was frozen or a proxy that restarts sends it, too."""
    client, target = await begin(host)
    client.http.writer.write(client_frame(8, (1001).to_bytes(2, "big"), KEY))
    await until(lambda: host.hub.only.link is None)
    again = await host.websocket(target)
    assert await again.hear() == {"type": 9, "sequenceId": 1}


async def test_a_close_of_ours_is_final(host: Host) -> None:
    """The official client tries to come back all the same; it is told 404."""
    client, target = await begin(host)
    host.hub.only.close(allow_reconnect=True)
    assert (await client.hear())["type"] == 7
    assert (await host.upgrade(target))[1].status == 404


async def test_a_new_websocket_takes_the_place_of_a_half_open_one(host: Host) -> None:
    """The client notices a loss before the server does: the old socket is cut, whatever it still held."""
    client, target = await begin(host)
    again = await host.websocket(target)
    again.say({"type": 9, "sequenceId": 1}, echo(1))
    assert await again.hear() == {"type": 9, "sequenceId": 1}
    assert (await again.hear())["result"] == 1
    client.say(echo(2))
    assert await client.ended() is None
    assert len(host.hub.messages) == 1
    assert not host.hub.ended


async def test_old_clients_of_version_one_have_no_replay(host: Host) -> None:
    """The handshake decides: with version 1 the loss of the line is the end."""
    target = f"?id={(await host.negotiate(ASK))['connectionToken']}"
    client = await host.connect(target)
    client.http.reset()
    await until(lambda: host.known == 0)
    assert len(host.hub.ended) == 1


async def test_compressed_messages_are_replayed_compressed(host: Host) -> None:
    """The new WebSocket must offer what the old one did; one that does not is sent to begin anew."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    client, target = await begin(host, offer)
    await lose(host, client)
    host.hub.only.send(Invocation("Tick", ["x" * 2000]))
    assert (await host.upgrade(target))[1].status == 404
    again = await host.websocket(target, offer)
    assert (await again.hear())["type"] == 9
    assert (await again.hear())["arguments"] == ["x" * 2000]

    plain, target = await begin(host)
    plain.http.reset()
    assert "sec-websocket-extensions" not in (await host.websocket(target, offer)).answer.headers


async def test_a_session_cut_at_every_byte_loses_and_doubles_nothing(host: Host) -> None:
    """The client's bytes are cut at every place of a session, and the server's after every answer."""
    wanted = [{"type": 3, "invocationId": str(number), "result": number} for number in range(1, 4)]
    session = b"".join(client_frame(1, json.dumps(echo(n)).encode() + b"\x1e", KEY) for n in range(1, 4))
    for cut in range(len(session)):
        client, target = await begin(host)
        client.http.writer.write(session[:cut])
        whole = sum(1 for n in range(1, 4) if cut >= len(session) // 3 * n)
        heard = [await client.hear() for _ in range(min(whole, cut % 3))]
        connection = next(reversed(host.hub.here.values()))
        client.http.reset()
        await until(lambda: connection.link is None)  # noqa: B023 - awaited here
        again = await host.websocket(target)
        sequence = await again.hear()
        assert sequence == {"type": 9, "sequenceId": 1}
        again.say({"type": 9, "sequenceId": 1}, echo(1), echo(2), echo(3))
        replayed = [await again.hear() for _ in range(3)]
        assert replayed == wanted
        assert heard == wanted[: len(heard)]
        again.say({"type": 7})
        await again.ended()
    counts = [message.invocation_id for _, message in host.hub.messages if isinstance(message, Invocation)]
    assert [counts.count(str(number)) for number in range(1, 4)] == [len(session)] * 3
