"""Claims about both hub protocols: what is written is read, however it is cut; hostile bytes; bounds."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.wire.signalr.errors import BadArgument, MessageTooLarge, NotWritable, ProtocolError
from stakewire.wire.signalr.messages import (
    NOTHING,
    Ack,
    CancelInvocation,
    Close,
    Completion,
    HubMessage,
    Invocation,
    Ping,
    Sequence,
    StreamInvocation,
    StreamItem,
    is_tracked,
)
from stakewire.wire.signalr.protocol import JSON, MESSAGEPACK, PROTOCOLS, HubProtocol
from stakewire.wire.signalr.splitters import read_prefix, write_prefix

both = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)

texts = st.text(max_size=20)
names = st.text(min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
).filter(lambda value: "inf" not in repr(value))
arguments = st.lists(values, max_size=4)
streams = st.lists(names, max_size=3).map(tuple)
headers = st.dictionaries(texts, texts, max_size=2)
numbers = st.integers(0, 2**53)

messages: st.SearchStrategy[HubMessage] = st.one_of(
    st.builds(Invocation, names, arguments, st.none() | names, streams, headers),
    st.builds(StreamItem, names, values),
    st.builds(Completion, names, values | st.just(NOTHING)),
    st.builds(Completion, names, error=texts),
    st.builds(StreamInvocation, names, arguments, names, streams, headers),
    st.builds(CancelInvocation, names),
    st.just(Ping()),
    st.builds(Close, st.none() | texts, st.booleans()),
    st.builds(Ack, numbers),
    st.builds(Sequence, numbers),
)


def decoded(protocol: HubProtocol, message: HubMessage | None) -> HubMessage | None:
    """A parsed message with its values decoded, to be compared with what was sent."""
    match message:
        case Invocation() | StreamInvocation():
            found = [protocol.decode(raw, Any) for raw in message.arguments]
            return msgspec.structs.replace(message, arguments=found)
        case StreamItem():
            return msgspec.structs.replace(message, item=protocol.decode(message.item, Any))
        case Completion(result=msgspec.Raw() as raw):
            return msgspec.structs.replace(message, result=protocol.decode(raw, Any))
    return message


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at these places, where they lie inside."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@both
@given(st.lists(messages, max_size=4), st.lists(st.integers(0, 2000), max_size=8))
def test_what_is_written_is_read_however_it_is_cut(
    protocol: HubProtocol, sent: list[HubMessage], cuts: list[int]
) -> None:
    """Any messages, in one stream cut anywhere, are read as they were, in order."""
    stream = b"".join(protocol.write(message) for message in sent)
    splitter = protocol.splitter(max(map(len, [protocol.write(message) for message in sent]), default=0))
    records = [record for piece in pieces_of(stream, cuts) for record in splitter.feed(piece)]
    assert [decoded(protocol, protocol.parse(record)) for record in records] == sent


@both
@given(st.binary(max_size=120), st.lists(st.integers(0, 120), max_size=6))
def test_noise_gives_the_documented_errors(protocol: HubProtocol, data: bytes, cuts: list[int]) -> None:
    """Any bytes are split and parsed, or refused by a ProtocolError, the same in one piece as in several."""
    whole = outcome(protocol, [data])
    assert outcome(protocol, pieces_of(data, cuts))[-1] == whole[-1]


def outcome(protocol: HubProtocol, pieces: list[bytes]) -> list[Any]:
    """The records of the pieces, and last whether they were refused."""
    splitter = protocol.splitter(40)
    found: list[Any] = []
    for piece in pieces:
        try:
            records = splitter.feed(piece)
        except ProtocolError as refused:
            return [*found, type(refused)]
        for record in records:
            found.append(record)
            judge(protocol, record)
    return [*found, None]


def judge(protocol: HubProtocol, record: bytes) -> None:
    """Parse a record and decode what is in it: anything but the documented errors passes through."""
    try:
        message = protocol.parse(record)
    except ProtocolError:
        return
    raws: list[Any] = []
    if isinstance(message, Invocation | StreamInvocation):
        raws = message.arguments
    elif isinstance(message, StreamItem):
        raws = [message.item]
    elif isinstance(message, Completion) and message.result is not NOTHING:
        raws = [message.result]
    for raw in raws:
        for wanted in (Any, int, str, dict[str, Any], list[float], tuple[int, str]):
            try:
                protocol.decode(raw, wanted)
            except BadArgument as wrong:
                assert wrong.message


@both
def test_a_record_at_the_bound_passes_and_one_beyond_does_not(protocol: HubProtocol) -> None:
    """The bound counts the record without its frame, complete or not, and however it arrives."""
    whole = protocol.write(Invocation("T", ["x" * 200]))
    (record,) = protocol.splitter(1000).feed(whole)
    for pieces in ([whole], pieces_of(whole, list(range(len(whole))))):
        splitter = protocol.splitter(len(record))
        assert [found for piece in pieces for found in splitter.feed(piece)] == [record]
        splitter = protocol.splitter(len(record) - 1)
        with pytest.raises(MessageTooLarge):
            for piece in pieces:
                splitter.feed(piece)


@both
def test_an_endless_record_is_refused_at_the_bound(protocol: HubProtocol) -> None:
    """Never more than the bound is kept of a record that does not end; an idle splitter keeps nothing."""
    splitter = protocol.splitter(10_000)
    start = b"{" if protocol is JSON else write_prefix(10_001)
    with pytest.raises(MessageTooLarge):
        for piece in itertools.chain([start], itertools.repeat(b" ", 20_000)):
            splitter.feed(piece)
            held = [getattr(splitter, name) for name in type(splitter).__slots__]  # type: ignore[attr-defined]
            assert sum(sys.getsizeof(part) for part in held if part is not None) < 13_000
    with pytest.raises(MessageTooLarge):
        protocol.splitter(10_000).feed(start + b" " * 10_000)
    idle: Any = protocol.splitter(10_000)
    message = protocol.write(Invocation("T", ["x" * 9000]))
    assert idle.feed(message[:5000]) == []
    assert len(idle.feed(message[5000:])) == 1
    assert idle._held is None


DEEP = 100_000


@pytest.mark.parametrize(
    ("protocol", "record"),
    [
        (JSON, b'{"type":1,"target":"T","arguments":[' + b"[" * DEEP + b"]" * DEEP + b"]}"),
        (JSON, b'{"x":' + b'{"x":' * DEEP + b"1" + b"}" * DEEP + b',"type":6}'),
        (JSON, b'{"type":6,"x":' + b"[" * DEEP),
        (MESSAGEPACK, b"\x96\x01\x80\xc0\xa1T\x91" + b"\x91" * DEEP + b"\x01\x90"),
        (MESSAGEPACK, b"\x92\x06" + b"\x81\x01" * DEEP + b"\x01"),
        (MESSAGEPACK, b"\x91" * DEEP),
    ],
)
def test_deep_nesting_is_refused(protocol: HubProtocol, record: bytes) -> None:
    """A record of a hundred thousand levels is no message, wherever in it they are."""
    with pytest.raises(ProtocolError):
        protocol.parse(record)


@both
def test_a_value_of_another_type_is_a_bad_argument(protocol: HubProtocol) -> None:
    """An argument is checked against the type wanted; the message itself stands."""
    (record,) = protocol.splitter(100).feed(protocol.write(Invocation("T", ["one", 2])))
    message = protocol.parse(record)
    assert isinstance(message, Invocation)
    assert protocol.decode(message.arguments[1], int) == 2
    with pytest.raises(BadArgument, match="int"):
        protocol.decode(message.arguments[0], int)


@both
@pytest.mark.parametrize(
    "value",
    [object(), "\ud800", 10**40, {"x": object()}],
    ids=["an object", "half a letter", "a huge number", "an object inside"],
)
def test_what_cannot_be_said_is_our_own_error(protocol: HubProtocol, value: Any) -> None:
    """A value without a form in the protocol is refused before anything is sent."""
    if protocol is JSON and value == 10**40:
        return  # JSON has numbers of any length
    with pytest.raises(NotWritable, match="Invocation"):
        protocol.write(Invocation("T", [value]))


def test_a_completion_is_not_both() -> None:
    """A result and an error in one Completion are refused where it is made."""
    with pytest.raises(ValueError, match="not both"):
        Completion("1", 5, "x")


def test_types_1_to_5_are_tracked() -> None:
    """Stateful reconnect counts invocations, items, completions and cancels, and nothing else."""
    calls: list[HubMessage] = [Invocation("T", []), StreamInvocation("T", [], "1"), CancelInvocation("1")]
    answers: list[HubMessage] = [StreamItem("1", 1), Completion("1")]
    others: list[HubMessage] = [Ping(), Close(), Ack(1), Sequence(1)]
    assert all(is_tracked(message) for message in calls + answers)
    assert not any(is_tracked(message) for message in others)


@given(st.integers(0, 0x7FFFFFFF), st.binary(max_size=3))
def test_a_prefix_is_read_as_written(length: int, after: bytes) -> None:
    """Every length has its prefix, and every beginning of that prefix is incomplete."""
    prefix = write_prefix(length)
    assert read_prefix(b"\xff" + prefix + after, 1) == (length, 1 + len(prefix))
    for size in range(len(prefix)):
        assert read_prefix(prefix[:size], 0) == (0, 0)


@pytest.mark.parametrize("prefix", ["8080808080", "ffffffff08", "ffffffffff", "8080808008"])
def test_a_prefix_that_is_none_is_refused(prefix: str) -> None:
    """More than 5 bytes or more than 0x7FFFFFFF is no length."""
    with pytest.raises(ProtocolError) as refused:
        MESSAGEPACK.splitter(100).feed(bytes.fromhex(prefix))
    assert not isinstance(refused.value, MessageTooLarge)
