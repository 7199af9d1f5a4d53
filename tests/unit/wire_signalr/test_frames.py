"""Claims about WebSocket frames: the vectors, any way of cutting the stream, hostile streams, memory."""

from __future__ import annotations

import itertools
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.testing.vectors import read_vectors
from stakewire.wire.websocket import frames
from stakewire.wire.websocket.deflate import deflate_message, inflate_message
from stakewire.wire.websocket.errors import WebSocketError
from stakewire.wire.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Binary,
    CloseFrame,
    Event,
    FrameReader,
    PingFrame,
    PongFrame,
    Text,
    client_frame,
    close_frame,
    mask,
    server_frame,
)

VECTORS = read_vectors(Path(__file__).parents[3] / "vectors/signalr/websocket_frames.json")
MAX = 16
KEY = b"\x37\xfa\x21\x3d"


def reader_of(case: dict[str, Any]) -> FrameReader:
    """A reader for a case of the vectors."""
    return FrameReader(
        max_message=MAX, deflate=case.get("deflate", False), require_mask=not case.get("server", False)
    )


def described(event: Event) -> list[Any]:
    """An event as the vectors write it."""
    match event:
        case Text(data):
            return ["text", data.decode()]
        case Binary(data):
            return ["binary", data.hex()]
        case PingFrame(data):
            return ["ping", data.hex()]
        case PongFrame(data):
            return ["pong", data.hex()]
        case CloseFrame(code, reason):
            return ["close", code, reason]


def outcome(reader: FrameReader, pieces: list[bytes]) -> tuple[list[Event], int | None]:
    """All events of the pieces, and the close code of the failure that ended them."""
    events: list[Event] = []
    for piece in pieces:
        try:
            events += reader.feed(piece)
        except WebSocketError as failed:
            return events, failed.close_code
    return events, None


def bytewise(data: bytes) -> list[bytes]:
    """Every byte by itself."""
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTORS])
def test_vectors(case: dict[str, Any]) -> None:
    """Every case is read as the vectors say, in one piece and byte by byte."""
    data = bytes.fromhex(case["hex"])
    fails = case["expect"]["fails"] if isinstance(case["expect"], dict) else None
    events, failed = outcome(reader_of(case), [data])
    assert failed == fails
    slowly, failed_slowly = outcome(reader_of(case), bytewise(data))
    assert failed_slowly == fails
    if fails is None:
        assert [described(event) for event in events] == case["expect"]
        assert slowly == events


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[Event]]:
    """A client's valid stream, and what it says: fragments, compressed or not, pings between."""
    stream, said = b"", list[Event]()
    for _ in range(draw(st.integers(0, 4))):
        binary, compressed = draw(st.booleans()), draw(st.booleans())
        payload = draw(st.binary(max_size=200)) if binary else draw(st.text(max_size=100)).encode()
        said.append(Binary(payload) if binary else Text(payload))
        rest = deflate_message(payload) if compressed else payload
        cuts = sorted(draw(st.lists(st.integers(0, len(rest)), max_size=3)))
        edges = [0, *cuts, len(rest)]
        parts = [rest[a:b] for a, b in itertools.pairwise(edges)]
        for index, part in enumerate(parts):
            opcode = CONTINUATION if index else BINARY if binary else TEXT
            frame = bytearray(client_frame(opcode, part, draw(st.binary(min_size=4, max_size=4))))
            frame[0] = opcode | (0x80 if index == len(parts) - 1 else 0) | (0x40 * compressed * (index == 0))
            stream += bytes(frame)
            if index < len(parts) - 1 and draw(st.booleans()):
                ping = draw(st.binary(max_size=125))
                stream += client_frame(PING, ping, KEY)
                said.insert(len(said) - 1, PingFrame(ping))
    return stream, said


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at these places, where they lie inside."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(streams(), st.lists(st.integers(0, 2000), max_size=12))
def test_cutting_the_stream_anywhere_changes_nothing(
    stream: tuple[bytes, list[Event]], cuts: list[int]
) -> None:
    """A valid stream gives the messages that were sent, however TCP cuts it."""
    data, said = stream
    reader = FrameReader(max_message=1000, deflate=True)
    assert outcome(reader, pieces_of(data, cuts)) == (said, None)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6), st.booleans(), st.booleans())
def test_noise_ends_the_same_way_however_it_is_cut(
    data: bytes, cuts: list[int], deflate: bool, require_mask: bool
) -> None:
    """Any bytes give events or a WebSocketError, and the same verdict in one piece as in several."""
    whole = outcome(FrameReader(max_message=50, deflate=deflate, require_mask=require_mask), [data])
    cut = outcome(
        FrameReader(max_message=50, deflate=deflate, require_mask=require_mask), pieces_of(data, cuts)
    )
    assert cut[1] == whole[1]
    assert cut[0][: len(whole[0])] == whole[0]


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_is_the_loop_of_the_standard(payload: bytes, key: bytes) -> None:
    """The fast XOR is RFC 6455 section 5.3's, and undoes itself."""
    slowly = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    assert mask(payload, key) == slowly
    assert mask(slowly, key) == payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_what_is_written_is_read(size: int, opcode: int) -> None:
    """Frames of every length form are read by the other end, in both directions."""
    payload = b"x" * size
    event = Text(payload) if opcode == TEXT else Binary(payload)
    assert FrameReader(max_message=size, deflate=False).feed(client_frame(opcode, payload, KEY)) == [event]
    client = FrameReader(max_message=size, deflate=True, require_mask=False)
    assert client.feed(server_frame(opcode, payload)) == [event]
    if size:
        compressed = server_frame(opcode, deflate_message(payload), rsv1=True)
        assert client.feed(compressed) == [event]


@given(st.integers(3000, 4999), st.text(max_size=200))
def test_a_close_reason_is_cut_between_letters(code: int, reason: str) -> None:
    """However long the reason, the frame is a lawful one that holds the reason's beginning."""
    reader = FrameReader(max_message=0, deflate=False, require_mask=False)
    (event,) = reader.feed(close_frame(code, reason))
    assert isinstance(event, CloseFrame)
    assert event.code == code
    lawful = reason.encode("utf-8", "replace").decode()
    assert lawful.startswith(event.reason)
    assert len(event.reason.encode()) >= min(len(lawful.encode()), 120)


def test_nothing_is_read_after_a_failure() -> None:
    """A connection that broke a rule stays silent and holds nothing."""
    reader = FrameReader(max_message=MAX, deflate=False)
    with pytest.raises(WebSocketError):
        reader.feed(b"\xff\x80")
    assert reader.feed(client_frame(TEXT, b"a", KEY)) == []
    assert held_by(reader) < 200


def held_by(reader: FrameReader) -> int:
    """Bytes of memory of a reader and what only it holds."""
    parts = [getattr(reader, name) for name in FrameReader.__slots__]
    return sys.getsizeof(reader) + sum(sys.getsizeof(part) for part in parts if isinstance(part, bytearray))


def test_an_idle_reader_is_small() -> None:
    """Ten thousand idle readers cost about a megabyte: nothing is kept between messages."""
    reader = FrameReader(max_message=32_768, deflate=True)
    reader.feed(client_frame(TEXT, b"x" * 30_000, KEY)[:20_000])
    reader.feed(client_frame(TEXT, b"x" * 30_000, KEY)[20_000:])
    assert held_by(reader) < 200


def test_fragments_of_one_byte_cost_their_bytes() -> None:
    """A message in thousands of tiny fragments, fed byte by byte, holds no more than its bound and a half."""
    reader = FrameReader(max_message=10_000, deflate=False)
    first = bytearray(client_frame(BINARY, b"x", KEY))
    first[0] = BINARY
    middle = bytearray(client_frame(CONTINUATION, b"x", KEY))
    middle[0] = CONTINUATION
    for piece in bytewise(bytes(first) + bytes(middle) * 9_000):
        assert reader.feed(piece) == []
    assert held_by(reader) < 15_000
    with pytest.raises(WebSocketError) as failed:
        for _ in range(2_000):
            reader.feed(bytes(middle))
    assert failed.value.close_code == 1009


@pytest.mark.parametrize("size", [MAX + 1, 1 << 20])
def test_an_endless_frame_is_refused_by_its_head(size: int) -> None:
    """A frame beyond the bound is refused before a byte of it is waited for."""
    head = client_frame(BINARY, b"x" * size, KEY)[: 14 if size > 65_535 else 8]
    with pytest.raises(WebSocketError) as failed:
        outcome_of = FrameReader(max_message=MAX, deflate=False)
        outcome_of.feed(head)
    assert failed.value.close_code == 1009


def test_a_bomb_is_inflated_to_the_bound_only() -> None:
    """A few bytes that inflate to a gigabyte cost the bound, whatever follows in the same message."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflater.compress(bytes(10_000_000)) + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
    with pytest.raises(WebSocketError) as failed:
        inflate_message(bomb, 10_000)
    assert failed.value.close_code == 1009


@given(st.binary(max_size=500), st.integers(1, 9))
def test_inflating_undoes_deflating(payload: bytes, level: int) -> None:
    """A compressed message gives itself back at exactly its bound, and is refused one byte below."""
    compressed = deflate_message(payload, level)
    assert inflate_message(compressed, len(payload)) == payload
    if payload:
        with pytest.raises(WebSocketError):
            inflate_message(compressed, len(payload) - 1)


@given(st.binary(min_size=1, max_size=60), st.integers(1, 60))
def test_a_cut_off_compressed_message_is_noticed(payload: bytes, keep: int) -> None:
    """What ends inside a deflate block is never taken for a shorter message of other content."""
    compressed = deflate_message(payload)
    try:
        found = inflate_message(compressed[:keep], 1000)
    except WebSocketError:
        return
    assert payload.startswith(found)


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ("_check_utf8", client_frame(TEXT, b"\xff", KEY)),
        ("_check_head", b"\xb1\x80" + KEY),
    ],
)
def test_the_vectors_see_a_planted_bug(planted: str, message: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a check taken out, some case of the vectors fails: they cover it."""
    owner = FrameReader if planted == "_check_head" else frames
    monkeypatch.setattr(owner, planted, lambda *_: "")
    assert outcome(FrameReader(max_message=MAX, deflate=False), [message])[1] is None
    with pytest.raises((AssertionError, AttributeError)):
        for case in VECTORS:
            test_vectors(case)


@pytest.mark.parametrize(("opcode", "event"), [(PING, PingFrame), (PONG, PongFrame)])
def test_control_frames_carry_125_bytes(opcode: int, event: type[PingFrame | PongFrame]) -> None:
    """The longest lawful control frame is read even where messages are bounded below it."""
    reader = FrameReader(max_message=MAX, deflate=False)
    assert reader.feed(client_frame(opcode, b"p" * 125, KEY)) == [event(b"p" * 125)]
    assert reader.feed(client_frame(CLOSE, b"", KEY)) == [CloseFrame(1005, "")]
