"""The JSON hub protocol: one UTF-8 object per message, ended by 0x1E; properties in any order."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from stakewire.wire.signalr.errors import BadArgument, NotWritable, ProtocolError
from stakewire.wire.signalr.messages import HubMessage
from stakewire.wire.signalr.splitters import SEPARATOR, JsonSplitter

_LAST_TYPE: Final = 9


class _Typed(msgspec.Struct, gc=False):
    type: int


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final[msgspec.json.Decoder[HubMessage]] = msgspec.json.Decoder(HubMessage)
_TYPE_DECODER: Final = msgspec.json.Decoder(_Typed)


class JsonProtocol:
    """See `stakewire.wire.signalr.protocol.HubProtocol`; text frames."""

    __slots__ = ()

    name: Final = "json"
    transfer_format: Final = "Text"

    def write(self, message: HubMessage) -> bytes:
        """See `HubProtocol.write`."""
        try:
            return _ENCODER.encode(message) + SEPARATOR
        except (TypeError, ValueError, OverflowError, RecursionError) as wrong:
            raise NotWritable(f"a {type(message).__name__} cannot be written as JSON: {wrong}") from wrong

    def parse(self, record: bytes) -> HubMessage | None:
        """See `HubProtocol.parse`."""
        try:
            return _DECODER.decode(record)
        except (ValueError, RecursionError) as wrong:
            if _is_of_later_type(record):
                return None
            raise ProtocolError(f"no hub message: {wrong}") from None

    def splitter(self, max_message: int) -> JsonSplitter:
        """See `HubProtocol.splitter`."""
        return JsonSplitter(max_message)

    def decode(self, raw: msgspec.Raw, type: Any) -> Any:  # noqa: A002 - the word that msgspec uses
        """See `HubProtocol.decode`."""
        try:
            return _decoder(type).decode(raw)
        except (ValueError, RecursionError) as wrong:
            raise BadArgument(str(wrong)) from None


def _is_of_later_type(record: bytes) -> bool:
    """Whether this is a message of a type that came after us, to be ignored."""
    try:
        return not 1 <= _TYPE_DECODER.decode(record).type <= _LAST_TYPE
    except (ValueError, RecursionError):
        return False


@lru_cache(maxsize=1024)
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)
