"""Envelopes: what a hub process asks all processes of its hub, itself included, to do.

Arguments travel as MessagePack and are plain values again on arrival, to be encoded once per variant for the
connections there: structs arrive as maps, aware times in UTC, what MessagePack has no word for as the text it
is on the wire to a client anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from stakewire.errors import InvalidInput


class _Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Arrays, so that a field added later is passed over by older processes during a rolling restart."""


class Send(_Envelope, frozen=True, tag=1):
    """Call `target` on an audience; `kind` is all, connections, users or groups."""

    kind: str
    names: Sequence[str]
    excluded: Sequence[str]
    target: str
    arguments: Sequence[Any]


class Regroup(_Envelope, frozen=True, tag=2):
    """Whoever holds the connection puts it into the group, or takes it out."""

    connection_id: str
    group: str
    joins: bool


class TopicState(_Envelope, frozen=True, tag=3):
    """The newest state of a topic.

    `stamp` (milliseconds, never going back within a topic) tells which of two answers is newer. An `answer`
    repeats what was published before, for the process that asked.
    """

    topic: str
    stamp: int
    arguments: Sequence[Any]
    answer_to: str = ""


class TopicEvent(_Envelope, frozen=True, tag=4):
    """One event of a topic: every subscriber gets each."""

    topic: str
    arguments: Sequence[Any]


class StatesWanted(_Envelope, frozen=True, tag=5):
    """A process has started, or has missed messages: others tell it the newest states they know."""

    asker: str


class Ask(_Envelope, frozen=True, tag=6):
    """Whoever holds the connection calls `target` on it and tells the asking process its result."""

    asker: str
    number: int
    connection_id: str
    target: str
    arguments: Sequence[Any]
    seconds: float


class Told(_Envelope, frozen=True, tag=7):
    """The result of an `Ask`, or (`code` and `error`) why there is none."""

    asker: str
    number: int
    result: Any = None
    code: str = ""
    error: str = ""


Envelope: TypeAlias = Send | Regroup | TopicState | TopicEvent | StatesWanted | Ask | Told

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Envelope] = msgspec.msgpack.Decoder(Envelope)


class UnknownEnvelope(Exception):
    """The bytes hold no envelope that this version knows."""


def pack(envelope: Envelope) -> bytes:
    """The envelope as bytes.

    Raises:
        InvalidInput: an argument is of a type that no hub message can carry.
    """
    try:
        return _encoder.encode(envelope)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"an argument cannot be sent: {error}") from error


def unpack(data: bytes) -> Envelope:
    """The envelope in these bytes.

    Raises:
        UnknownEnvelope: there is none, or a newer process sent a kind that this one does not know.
    """
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise UnknownEnvelope(str(error)) from error
