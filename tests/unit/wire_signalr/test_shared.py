"""Claims about shared and numbered messages: every variant is the plain message, with its number."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakewire.wire.signalr import numbered
from stakewire.wire.signalr.errors import NotWritable
from stakewire.wire.signalr.messages import HubMessage, Invocation, StreamItem
from stakewire.wire.signalr.numbered import MAX_NUMBER, NumberedMessage
from stakewire.wire.signalr.protocol import JSON, MESSAGEPACK
from stakewire.wire.signalr.shared import DEFLATE_FROM, SharedMessage, Variant, event, wrap
from stakewire.wire.websocket.frames import Binary, FrameReader, Text, server_head

WEB_SOCKET: dict[Variant, type[Text | Binary]] = {
    Variant.WS_JSON: Text,
    Variant.WS_JSON_DEFLATE: Text,
    Variant.WS_MESSAGEPACK: Binary,
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=30)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5),
    max_leaves=20,
)


def unwrap(variant: Variant, frame: bytes) -> bytes:
    """The hub bytes in a frame, as a client gets them: one WebSocket message, one event, one body."""
    if variant in WEB_SOCKET:
        reader = FrameReader(max_message=1 << 24, deflate=True, require_mask=False)
        (message,) = reader.feed(frame)
        assert isinstance(message, WEB_SOCKET[variant])
        return message.data
    if variant is Variant.SSE_JSON:
        return event_data(frame)
    return frame


def event_data(stream: bytes) -> bytes:
    """What a browser makes of one event (HTML, section 9.2.6)."""
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert lines[-2:] == [b"", b""]
    assert all(line.startswith(b"data: ") for line in lines[:-2])
    return b"\n".join(line.removeprefix(b"data: ") for line in lines[:-2])


def plain(variant: Variant, message: HubMessage) -> bytes:
    """The hub bytes of a message, written by itself."""
    return variant.protocol.write(message)


@pytest.mark.parametrize("variant", Variant)
@settings(max_examples=30)
@given(st.lists(values, max_size=3), st.integers(1, 200))
def test_every_variant_is_the_plain_message(variant: Variant, arguments: list[Any], times: int) -> None:
    """What a client unpacks from a shared frame is exactly the message as written for itself."""
    message = Invocation("Feed", arguments * times)
    assert unwrap(variant, SharedMessage(message).frame(variant)) == plain(variant, message)


def numbered_of(arguments: list[Any], slot: object, depth: int) -> Invocation:
    """A message that holds `slot` somewhere inside its arguments."""
    held: object = {"before": arguments, "sId": slot, "after": arguments}
    for _ in range(depth):
        held = [arguments, held, arguments]
    return Invocation("Feed", [*arguments, held])


@pytest.mark.parametrize("variant", Variant)
@settings(max_examples=30)
@given(
    st.lists(values, max_size=3),
    st.integers(0, 3),
    st.sampled_from([0, 1, 9, 10, 255, 256, 65_535, 65_536, 10**9, MAX_NUMBER]) | st.integers(0, MAX_NUMBER),
)
def test_a_numbered_frame_says_its_number(
    variant: Variant, arguments: list[Any], depth: int, number: int
) -> None:
    """A slotted frame is the very message that the number in the slot's form gives, and reads as it."""
    message = NumberedMessage(lambda slot: numbered_of(arguments, slot, depth))
    message.frame(variant, 77)
    data = unwrap(variant, message.frame(variant, number))
    binary = variant.protocol is MESSAGEPACK
    slot = b"\xce" + number.to_bytes(4, "big") if binary else b"%10d" % number
    assert data == plain(variant, numbered_of(arguments, msgspec.Raw(slot), depth))
    assert decoded(variant, data) == decoded(variant, plain(variant, numbered_of(arguments, number, depth)))


def decoded(variant: Variant, data: bytes) -> list[Any]:
    """The arguments in the hub bytes of one invocation."""
    (record,) = variant.protocol.splitter(1 << 24).feed(data)
    message = variant.protocol.parse(record)
    assert isinstance(message, Invocation)
    return [variant.protocol.decode(raw, Any) for raw in message.arguments]


GAMES = [{"id": n, "name": f"Roulette {n}", "odds": [1.5, 2.25, 36], "open": n % 2 == 0} for n in range(40)]


def test_compression_reaches_across_the_slot() -> None:
    """A slotted compressed frame is hardly longer than a shared one: its second half refers to the first."""
    shared = SharedMessage(Invocation("Feed", [GAMES, 7, GAMES])).frame(Variant.WS_JSON_DEFLATE)
    slotted = NumberedMessage(lambda slot: Invocation("Feed", [GAMES, slot, GAMES]))
    assert len(slotted.frame(Variant.WS_JSON_DEFLATE, 7)) < len(shared) + 40
    assert len(shared) * 6 < len(SharedMessage(Invocation("Feed", [GAMES, 7, GAMES])).frame(Variant.WS_JSON))


def test_a_frame_is_made_once() -> None:
    """Every subscriber of a variant gets the same object; variants of one protocol share the encoding."""
    message = SharedMessage(Invocation("Feed", [GAMES]))
    for variant in Variant:
        assert message.frame(variant) is message.frame(variant)
    assert message.frame(Variant.POLL_JSON) is message.frame(Variant.RAW_JSON)


def test_short_messages_go_uncompressed() -> None:
    """Below the threshold compressing is not worth it, and such a frame is lawful on any WebSocket."""
    short = SharedMessage(Invocation("T", []))
    assert short.frame(Variant.WS_JSON_DEFLATE) == short.frame(Variant.WS_JSON)
    assert wrap(Variant.WS_JSON_DEFLATE, b"x" * DEFLATE_FROM)[0] & 0x40


@pytest.mark.parametrize("variant", Variant)
def test_a_number_outside_its_range_is_refused(variant: Variant) -> None:
    """A number that does not fit the slot never reaches a client."""
    message = NumberedMessage(lambda slot: StreamItem("1", slot))
    for number in (-1, MAX_NUMBER + 1):
        with pytest.raises(ValueError, match="not between"):
            message.frame(variant, number)


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda slot: Invocation("T", [1]), id="nowhere"),
        pytest.param(lambda slot: Invocation("T", [slot, slot]), id="twice"),
        pytest.param(lambda slot: Invocation("T", [object()]), id="not writable"),
    ],
)
def test_a_slot_is_there_once(variant: Variant, make: Any) -> None:
    """A message without its number, or with two, is refused when it is made."""
    with pytest.raises(NotWritable):
        NumberedMessage(make).frame(variant, 1)


@given(st.text(alphabet="ab\r\n\x1eé", max_size=30))
def test_line_breaks_in_an_event_stay_line_breaks(text: str) -> None:
    """Data with line breaks of any kind comes out of an event with plain ones: whitespace, for JSON."""
    expected = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    assert event_data(event(text.encode())) == expected


@pytest.mark.parametrize("careful", [True, False])
def test_nothing_refers_to_the_digits(careful: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text like the slot's digits arrives unharmed; a planted bug, digits in the dictionary, is seen."""
    arguments = ["x" * 300, "0000000000", "1234567890", "        12"]
    if not careful:
        monkeypatch.setattr(numbered, "_deflate_halves", careless_halves)
    message = NumberedMessage(lambda slot: Invocation("Feed", [slot, *arguments]))
    data = unwrap(Variant.WS_JSON_DEFLATE, message.frame(Variant.WS_JSON_DEFLATE, 12))
    expected = plain(Variant.WS_JSON_DEFLATE, Invocation("Feed", [msgspec.Raw(b"        12"), *arguments]))
    assert (data == expected) is careful


def careless_halves(before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """As `numbered._deflate_halves`, but with digits where the number will stand."""
    first = zlib.compressobj(1, zlib.DEFLATED, -15)
    shared = first.compress(before) + first.flush(zlib.Z_SYNC_FLUSH)[:-4] + b"\x0a\x00\xf5\xff"
    second = zlib.compressobj(1, zlib.DEFLATED, -15, zdict=before + b"0" * 10)
    rest = second.compress(after) + second.flush(zlib.Z_SYNC_FLUSH)[:-4]
    return server_head(1, len(shared) + 10 + len(rest), rsv1=True) + shared, rest


def test_variants_know_their_protocol() -> None:
    """Three variants carry MessagePack, the others JSON."""
    assert [v.name for v in Variant if v.protocol is MESSAGEPACK] == [
        "WS_MESSAGEPACK",
        "POLL_MESSAGEPACK",
        "RAW_MESSAGEPACK",
    ]
    assert Variant.SSE_JSON.protocol is JSON
