"""The MessagePack hub protocol: one array per message, with its length before it.

Longer arrays than we know are read without their tail, and `streamIds` may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec

from stakewire.wire.signalr import messages
from stakewire.wire.signalr.errors import BadArgument, NotWritable, ProtocolError
from stakewire.wire.signalr.messages import NOTHING, HubMessage, Id, SequenceId, Target, Value
from stakewire.wire.signalr.splitters import MessagePackSplitter, write_prefix

_ERROR: Final = 1
_VOID: Final = 2
_RESULT: Final = 3
_LAST_TYPE: Final = 9


class _Array(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="type", tag=0):
    """A message as its array; the tag is the first element."""


class _Invocation(_Array, frozen=True, tag=1):
    headers: dict[str, str] | None
    invocation_id: Id | None
    target: Target
    arguments: list[Value]
    stream_ids: tuple[str, ...] = ()

    def message(self) -> HubMessage:
        return messages.Invocation(
            self.target, self.arguments, self.invocation_id, self.stream_ids, self.headers or {}
        )


class _StreamItem(_Array, frozen=True, tag=2):
    headers: dict[str, str] | None
    invocation_id: Id
    item: Value

    def message(self) -> HubMessage:
        return messages.StreamItem(self.invocation_id, self.item)


class _Completion(_Array, frozen=True, tag=3):
    headers: dict[str, str] | None
    invocation_id: Id
    kind: int
    value: Value | msgspec.UnsetType = NOTHING

    def message(self) -> HubMessage:
        if self.kind == _VOID:
            return messages.Completion(self.invocation_id)
        if self.value is NOTHING:
            raise ProtocolError("a completion of this kind has a value")
        if self.kind == _RESULT:
            return messages.Completion(self.invocation_id, self.value)
        if self.kind == _ERROR:
            return messages.Completion(self.invocation_id, error=_TEXT_DECODER.decode(self.value))
        raise ProtocolError("a completion is of kind 1, 2 or 3")


class _StreamInvocation(_Array, frozen=True, tag=4):
    headers: dict[str, str] | None
    invocation_id: Id
    target: Target
    arguments: list[Value]
    stream_ids: tuple[str, ...] = ()

    def message(self) -> HubMessage:
        return messages.StreamInvocation(
            self.target, self.arguments, self.invocation_id, self.stream_ids, self.headers or {}
        )


class _CancelInvocation(_Array, frozen=True, tag=5):
    headers: dict[str, str] | None
    invocation_id: Id

    def message(self) -> HubMessage:
        return messages.CancelInvocation(self.invocation_id)


class _Ping(_Array, frozen=True, tag=6):
    def message(self) -> HubMessage:
        return messages.Ping()


class _Close(_Array, frozen=True, tag=7):
    error: str | None = None
    allow_reconnect: bool = False

    def message(self) -> HubMessage:
        return messages.Close(self.error, self.allow_reconnect)


class _Ack(_Array, frozen=True, tag=8):
    sequence_id: SequenceId

    def message(self) -> HubMessage:
        return messages.Ack(self.sequence_id)


class _Sequence(_Array, frozen=True, tag=9):
    sequence_id: SequenceId

    def message(self) -> HubMessage:
        return messages.Sequence(self.sequence_id)


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(
    _Invocation
    | _StreamItem
    | _Completion
    | _StreamInvocation
    | _CancelInvocation
    | _Ping
    | _Close
    | _Ack
    | _Sequence
)
_TEXT_DECODER: Final = msgspec.msgpack.Decoder(str)
_FIELDS_DECODER: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_TYPE_DECODER: Final = msgspec.msgpack.Decoder(int)


class MessagePackProtocol:
    """See `stakewire.wire.signalr.protocol.HubProtocol`; binary frames."""

    __slots__ = ()

    name: Final = "messagepack"
    transfer_format: Final = "Binary"

    def write(self, message: HubMessage) -> bytes:
        """See `HubProtocol.write`."""
        try:
            record = _ENCODER.encode(_ELEMENTS[type(message)](message))
        except (TypeError, ValueError, OverflowError, RecursionError) as wrong:
            raise NotWritable(
                f"a {type(message).__name__} cannot be written as MessagePack: {wrong}"
            ) from wrong
        return write_prefix(len(record)) + record

    def parse(self, record: bytes) -> HubMessage | None:
        """See `HubProtocol.parse`."""
        try:
            message: HubMessage = _DECODER.decode(record).message()
        except (ValueError, RecursionError) as wrong:
            if _is_of_later_type(record):
                return None
            raise ProtocolError(f"no hub message: {wrong}") from None
        return message

    def splitter(self, max_message: int) -> MessagePackSplitter:
        """See `HubProtocol.splitter`."""
        return MessagePackSplitter(max_message)

    def decode(self, raw: msgspec.Raw, type: Any) -> Any:  # noqa: A002 - the word that msgspec uses
        """See `HubProtocol.decode`."""
        try:
            return _decoder(type).decode(raw)
        except (ValueError, RecursionError) as wrong:
            raise BadArgument(str(wrong)) from None


def _completion(message: messages.Completion) -> list[Any]:
    if message.error is not None:
        return [3, {}, message.invocation_id, _ERROR, message.error]
    if message.result is NOTHING:
        return [3, {}, message.invocation_id, _VOID]
    return [3, {}, message.invocation_id, _RESULT, message.result]


_ELEMENTS: Final[dict[type[Any], Callable[[Any], list[Any]]]] = {
    messages.Invocation: lambda m: [1, m.headers, m.invocation_id, m.target, m.arguments, m.stream_ids],
    messages.StreamItem: lambda m: [2, {}, m.invocation_id, m.item],
    messages.Completion: _completion,
    messages.StreamInvocation: lambda m: [4, m.headers, m.invocation_id, m.target, m.arguments, m.stream_ids],
    messages.CancelInvocation: lambda m: [5, {}, m.invocation_id],
    messages.Ping: lambda m: [6],
    messages.Close: lambda m: [7, m.error, m.allow_reconnect],
    messages.Ack: lambda m: [8, m.sequence_id],
    messages.Sequence: lambda m: [9, m.sequence_id],
}
"""What to write, in the order of HubProtocol.md: all of it, as .NET does, since some clients count on it."""


def _is_of_later_type(record: bytes) -> bool:
    """Whether this is a message of a type that came after us, to be ignored."""
    try:
        fields = _FIELDS_DECODER.decode(record)
        return bool(fields) and not 1 <= _TYPE_DECODER.decode(fields[0]) <= _LAST_TYPE
    except (ValueError, RecursionError):
        return False


@lru_cache(maxsize=1024)
def _decoder(wanted: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(wanted)
