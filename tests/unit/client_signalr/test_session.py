"""Claims about what a client says and when, without a socket or a clock."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stakewire.client.signalr import BadAnswer, ClientOptions, NotSupported, ServerAway
from stakewire.client.signalr.session import Session
from stakewire.testing.vectors import body_of, read_vectors
from stakewire.wire.signalr.errors import NotWritable
from stakewire.wire.signalr.messages import (
    Ack,
    Close,
    Completion,
    HubMessage,
    Invocation,
    Ping,
    Sequence,
    StreamItem,
    is_tracked,
)
from stakewire.wire.signalr.protocol import JSON, MESSAGEPACK, HubProtocol
from stakewire.wire.signalr.sequence import ReceiveLog, SendLog

FOLDER = Path(__file__).parents[3] / "vectors/signalr"
OPTIONS = ClientOptions(max_message_bytes=1000)
PROTOCOLS = pytest.mark.parametrize("protocol", [JSON, MESSAGEPACK], ids=lambda protocol: protocol.name)


def cases(file: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in read_vectors(FOLDER / f"{file}.json")]


def session(
    protocol: HubProtocol = JSON, *, stateful: bool = False, polling: bool = False, **options: Any
) -> Session:
    return Session(protocol, replace(OPTIONS, **options), stateful=stateful, inherent_keep_alive=polling)


def opened(protocol: HubProtocol = JSON, **more: Any) -> Session:
    """A session that has shaken hands at time 0 and whose first words were sent."""
    ready = session(protocol, **more)
    ready.attach(0.0)
    ready.take(10_000, 0.0)
    assert list(ready.receive(b"{}\x1e", 0.0)) == []
    ready.take(10_000, 0.0)
    return ready


def stands(one: Session) -> tuple[bool, bool]:
    return one.open, one.live


def said(data: bytes, protocol: HubProtocol = JSON) -> list[HubMessage | None]:
    """The messages in what was sent."""
    return [protocol.parse(record) for record in protocol.splitter(10_000_000).feed(data)]


def invocation(number: int) -> Invocation:
    return Invocation("Tick", [number])


@pytest.mark.parametrize("stateful", [False, True])
@PROTOCOLS
def test_it_begins_with_a_handshake_in_json(protocol: HubProtocol, stateful: bool) -> None:
    """Version 2 where stateful reconnect was agreed on, 1 everywhere else; a ping follows the answer."""
    begun = session(protocol, stateful=stateful)
    begun.attach(0.0)
    asked = msgspec.json.decode(begun.take(10_000, 0.0).rstrip(b"\x1e"))
    assert asked == {"protocol": protocol.name, "version": 2 if stateful else 1}
    assert list(begun.receive(b"{", 0.0)) == []
    assert stands(begun) == (False, False)
    assert list(begun.receive(b"}\x1e" + protocol.write(Close()), 0.0)) == [Close()]
    assert stands(begun) == (True, True)
    assert said(begun.take(10_000, 0.0), protocol) == [Ping()]


@pytest.mark.parametrize("case", [c for c in cases("handshake") if c.values[0]["from"] == "server"])
def test_answers_to_the_handshake(case: dict[str, Any]) -> None:
    """As in the vectors: accepted, refused with the server's words, incomplete, or no answer at all."""
    begun = session()
    begun.attach(0.0)
    expect = case["expect"]
    if expect == "refused":
        with pytest.raises(BadAnswer):
            list(begun.receive(body_of(case), 0.0))
    elif expect != "incomplete" and expect.get("error") is not None:
        with pytest.raises(NotSupported, match="refused the handshake"):
            list(begun.receive(body_of(case), 0.0))
    else:
        received = begun.receive(body_of(case), 0.0)
        next(received, None)
        assert begun.open is (expect != "incomplete")


@pytest.mark.parametrize("protocol", [JSON, MESSAGEPACK], ids=lambda protocol: protocol.name)
def test_messages_of_the_vectors(protocol: HubProtocol) -> None:
    """What the vectors call a message is given out, what they refuse ends the session."""
    for case in read_vectors(FOLDER / f"{protocol.name}.json"):
        if "expect" not in case or ("body" not in case and "body_hex" not in case):
            continue
        record = body_of(case)
        if protocol is JSON:
            record = record.rstrip(b"\x1e")
        try:
            meant = protocol.parse(record)
        except Exception:
            with pytest.raises(BadAnswer):
                list(opened(protocol, max_message_bytes=1_000_000).receive(_framed(protocol, record), 1.0))
            continue
        given = list(opened(protocol, max_message_bytes=1_000_000).receive(_framed(protocol, record), 1.0))
        wanted = meant is not None and not isinstance(meant, Ping | Ack | Sequence)
        assert len(given) == (1 if wanted else 0), case["name"]


def _framed(protocol: HubProtocol, record: bytes) -> bytes:
    if protocol is JSON:
        return record + b"\x1e"
    prefix, length = bytearray(), len(record)
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*prefix, length]) + record


@PROTOCOLS
def test_bytes_may_come_in_any_pieces(protocol: HubProtocol) -> None:
    """One at a time gives the same messages as all at once."""
    data = b"".join(protocol.write(StreamItem("1", n)) for n in range(20))
    whole = list(opened(protocol).receive(data, 1.0))
    begun = opened(protocol)
    single = [message for at in range(len(data)) for message in begun.receive(data[at : at + 1], 1.0)]
    assert single == whole
    assert len(whole) == 20


def test_a_message_over_the_limit_is_the_servers_fault() -> None:
    """Before all of it was kept."""
    with pytest.raises(BadAnswer, match="1000 bytes"):
        list(opened().receive(b"x" * 1001, 1.0))


def test_pings_go_out_when_nothing_else_did() -> None:
    """After the keep-alive time since the last thing sent, and only then."""
    idle = opened(keep_alive_seconds=15, server_timeout_seconds=100)
    assert idle.deadline() == 15
    idle.tick(14.9)
    assert not idle.unsent
    idle.write(invocation(1))
    idle.take(10_000, 14.95)
    idle.tick(15.0)
    assert not idle.unsent
    idle.tick(29.95)
    assert said(idle.take(10_000, 29.95)) == [Ping()]


def test_a_silent_server_is_away() -> None:
    """Anything that comes counts as life; while this side does not read, nothing does."""
    quiet = opened(server_timeout_seconds=30)
    list(quiet.receive(JSON.write(Ping()), 20.0))
    quiet.tick(49.9)
    quiet.reading(False, 49.9)
    quiet.tick(500.0)
    quiet.reading(True, 500.0)
    quiet.tick(529.9)
    with pytest.raises(ServerAway, match="nothing came"):
        quiet.tick(530.0)


def test_polling_is_its_own_keep_alive() -> None:
    """No pings, no timeout."""
    polling = opened(polling=True)
    assert not polling.unsent
    assert polling.deadline() == float("inf")
    polling.tick(1e9)
    assert not polling.unsent


def test_the_handshake_has_its_time() -> None:
    """An answer that does not come, or comes in part, is a server that is away."""
    begun = session(handshake_seconds=5)
    begun.attach(100.0)
    assert begun.deadline() == 105
    with pytest.raises(ServerAway, match="handshake"):
        begun.tick(105.0)


def test_messages_are_batched_whole_and_within_bounds() -> None:
    """Several small ones together, a large one alone; room is what was not yet taken."""
    busy = opened(max_unsent_bytes=200)
    for number in range(8):
        assert busy.has_room is (number < 5), number
        busy.write(invocation(number))
    one = len(JSON.write(invocation(0)))
    assert said(busy.take(2 * one, 1.0)) == said(JSON.write(invocation(0)) + JSON.write(invocation(1)))
    assert len(said(busy.take(1, 1.0))) == 1
    while busy.unsent:
        busy.take(10_000, 1.0)
    assert busy.has_room
    assert busy.take(10_000, 1.0) == b""


def test_what_cannot_be_encoded_is_not_counted() -> None:
    """The numbers of stateful reconnect stay right."""
    kept = opened(stateful=True)
    with pytest.raises(NotWritable):
        kept.write(Invocation("Tick", [object()]))
    kept.write(invocation(1))
    kept.detach()
    kept.attach(1.0)
    assert said(kept.take(10_000, 1.0))[0] == Sequence(1)


def test_acknowledgements_follow_after_a_second_or_many_bytes() -> None:
    """One a second while something comes, sooner when much does, none for nothing."""
    kept = opened(
        stateful=True, max_message_bytes=100_000, keep_alive_seconds=1000, server_timeout_seconds=1000
    )
    assert kept.deadline() == 1000
    list(kept.receive(JSON.write(invocation(1)) + JSON.write(invocation(2)), 5.0))
    list(kept.receive(JSON.write(Ping()), 5.5))
    assert kept.deadline() == 6.0
    kept.tick(6.0)
    assert said(kept.take(10_000, 6.0)) == [Ack(2)]
    kept.tick(50.0)
    assert not kept.unsent
    list(kept.receive(JSON.write(Invocation("Tick", ["x" * 30_000])), 60.0))
    assert kept.deadline() == 60.0
    kept.tick(60.0)
    assert said(kept.take(10_000, 60.0)) == [Ack(3)]


def test_acknowledgements_of_the_server_make_room() -> None:
    """Over the bound calls wait; one Ack frees them; one for what was never sent is the server's fault."""
    kept = opened(stateful=True, max_unacknowledged_bytes=100)
    for number in range(4):
        kept.write(invocation(number))
    kept.take(10_000, 1.0)
    full = not kept.has_room
    list(kept.receive(JSON.write(Ack(4)), 1.0))
    assert (full, kept.has_room) == (True, True)
    with pytest.raises(BadAnswer):
        list(kept.receive(JSON.write(Ack(5)), 1.0))


def test_between_two_transports_messages_are_kept() -> None:
    """What was written meanwhile follows the Sequence; Close and pings are never repeated."""
    kept = opened(stateful=True)
    kept.write(invocation(1))
    kept.take(10_000, 1.0)
    kept.say_goodbye()
    kept.detach()
    kept.write(invocation(2))
    assert not kept.unsent
    kept.say_goodbye()
    kept.attach(2.0)
    words = said(kept.take(10_000, 2.0))
    assert [type(word) for word in words] == [Sequence, Invocation, Invocation]
    assert words[0] == Sequence(1)
    assert stands(kept) == (True, False)
    assert list(kept.receive(JSON.write(invocation(9)), 2.0)) == [], "ignored before the server's Sequence"
    assert len(list(kept.receive(JSON.write(Sequence(1)) + JSON.write(invocation(1)), 2.0))) == 1
    assert stands(kept) == (True, True)


def test_a_resumption_has_its_time_too() -> None:
    """A server that accepts the transport and says nothing is away."""
    kept = opened(stateful=True, handshake_seconds=5)
    kept.detach()
    kept.attach(10.0)
    with pytest.raises(ServerAway, match="resumption"):
        kept.tick(15.0)


class Server:
    """The other end of stateful reconnect, with a habit of acknowledging whenever it likes."""

    def __init__(self, protocol: HubProtocol) -> None:
        self.protocol = protocol
        self.sends, self.seen = SendLog(), ReceiveLog()
        self.received: list[int] = []
        self.out = bytearray()

    def attach(self, first: bool) -> None:
        self.splitter = self.protocol.splitter(10_000)
        self.out.clear()
        self.greeted = not first
        if first:
            self.out += b"{}\x1e"
            return
        self.seen.reconnected()
        number, frames = self.sends.resume()
        self.out += self.protocol.write(Sequence(number)) + b"".join(frames)

    def send(self, number: int, attached: bool) -> None:
        frame = self.protocol.write(invocation(number))
        self.sends.sent(frame)
        if attached:
            self.out += frame

    def ack(self) -> None:
        if (number := self.seen.take_ack()) is not None:
            self.out += self.protocol.write(Ack(number))

    def receive(self, data: bytes) -> None:
        if not self.greeted:
            data = data[data.index(b"\x1e") + 1 :]
            self.greeted = True
        for record in self.splitter.feed(data):
            message = self.protocol.parse(record)
            if message is None or not self.seen.accept(message):
                continue
            if isinstance(message, Ack):
                self.sends.acked(message.sequence_id)
            elif is_tracked(message):
                assert isinstance(message, Completion)
                self.received.append(int(message.invocation_id))


@PROTOCOLS
@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_doubled_wherever_it_is_cut(protocol: HubProtocol, seed: int) -> None:
    """200 transports a seed, each cut at a random byte in both directions, replays and acks included."""
    chance = random.Random(seed)
    client, server = session(protocol, stateful=True, max_message_bytes=10_000), Server(protocol)
    sent: list[int] = []
    pushed: list[int] = []
    received: list[int] = []
    now = 0.0
    for transport in range(200):
        last = transport == 199
        client.attach(now)
        server.attach(transport == 0)
        for _ in range(chance.randrange(1, 8)) if not last else range(30):
            now += chance.choice([0.0, 0.3, 1.1])
            for number in _numbers(sent, chance):
                client.write(Completion(str(number)))
            for number in _numbers(pushed, chance):
                server.send(number, attached=True)
            if chance.random() < 0.3:
                server.ack()
            client.tick(now)
            cut = not last and transport > 0 and chance.random() < 0.3
            _carry(client, server, received, chance, now, cut=cut)
            if cut:
                break
        client.detach()
        for number in _numbers(sent, chance) if not last else ():
            client.write(Completion(str(number)))
        for number in _numbers(pushed, chance) if not last else ():
            server.send(number, attached=False)
    assert server.received == sent
    assert received == pushed
    assert len(sent) > 500


def _numbers(so_far: list[int], chance: random.Random) -> Iterator[int]:
    for _ in range(chance.randrange(3)):
        so_far.append(len(so_far))
        yield so_far[-1]


def _carry(
    client: Session, server: Server, received: list[int], chance: random.Random, now: float, *, cut: bool
) -> None:
    """Bytes both ways: all of them, or as many as chance lets through before the line is cut."""
    up, down = bytearray(), bytes(server.out)
    while data := client.take(10_000, now):
        up += data
    server.out.clear()
    if cut:
        up, down = up[: chance.randrange(len(up) + 1)], down[: chance.randrange(len(down) + 1)]
    for message in client.receive(down, now) if down else ():
        assert isinstance(message, Invocation)
        received.append(client.protocol.decode(message.arguments[0], int))
    if up:
        server.receive(bytes(up))
