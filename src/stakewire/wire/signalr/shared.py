"""One message for many connections: encoded when first wanted, once per variant, and framed once.

hub bytes     JSON                      MessagePack
WebSocket     WS_JSON, WS_JSON_DEFLATE  WS_MESSAGEPACK
events        SSE_JSON
poll's body   POLL_JSON                 POLL_MESSAGEPACK
without       RAW_JSON                  RAW_MESSAGEPACK
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from stakewire.wire.signalr.messages import HubMessage
from stakewire.wire.signalr.protocol import JSON, MESSAGEPACK, HubProtocol
from stakewire.wire.websocket.deflate import deflate_message
from stakewire.wire.websocket.frames import BINARY, TEXT, server_frame

DEFLATE_FROM: Final = 256
"""Bytes from which a message is worth compressing; a shorter one goes uncompressed on any WebSocket."""


SHARED_LEVEL: Final = 6
"""Of deflate, for what is compressed once and sent many times: a tenth fewer bytes than level 1."""


class Variant(IntEnum):
    """How the bytes of a message look on a connection: protocol and transport."""

    WS_JSON = 0
    WS_JSON_DEFLATE = 1
    WS_MESSAGEPACK = 2
    SSE_JSON = 3
    POLL_JSON = 4
    POLL_MESSAGEPACK = 5
    RAW_JSON = 6
    RAW_MESSAGEPACK = 7

    @property
    def protocol(self) -> HubProtocol:
        """The protocol inside."""
        return MESSAGEPACK if self in _MESSAGEPACK else JSON


_MESSAGEPACK: Final = frozenset({Variant.WS_MESSAGEPACK, Variant.POLL_MESSAGEPACK, Variant.RAW_MESSAGEPACK})


def wrap(variant: Variant, data: bytes, *, level: int = 1) -> bytes:
    """Frame hub bytes, one whole message or several, as the variant's transport wants them.

    One WebSocket message or one event holds them all: clients refuse a message spread over two.

    Args:
        level: of deflate, where the variant has it.
    """
    if variant is Variant.WS_JSON:
        return server_frame(TEXT, data)
    if variant is Variant.WS_MESSAGEPACK:
        return server_frame(BINARY, data)
    if variant is Variant.WS_JSON_DEFLATE:
        if len(data) < DEFLATE_FROM:
            return server_frame(TEXT, data)
        return server_frame(TEXT, deflate_message(data, level), rsv1=True)
    if variant is Variant.SSE_JSON:
        return event(data)
    return data


def event(data: bytes) -> bytes:
    """One server-sent event; a line break in the data begins another `data:` line (HTML, section 9.2.6)."""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\ndata: ")
    return b"data: " + data + b"\r\n\r\n"


class SharedMessage:
    """One message, the same for every subscriber."""

    __slots__ = ("_frames", "message")

    def __init__(self, message: HubMessage) -> None:
        """Take a message; it is encoded when first asked for, and must not be changed afterwards."""
        self.message = message
        self._frames: list[bytes | None] = [None] * len(Variant)

    def frame(self, variant: Variant) -> bytes:
        """The bytes to write on a connection of this variant: the same object each time.

        Raises:
            NotWritable: a value in it has no form in the variant's protocol.
        """
        return self._frames[variant] or self._make(variant)

    def _make(self, variant: Variant) -> bytes:
        raw = Variant.RAW_MESSAGEPACK if variant in _MESSAGEPACK else Variant.RAW_JSON
        data = self._frames[raw]
        if data is None:
            self._frames[raw] = data = variant.protocol.write(self.message)
        self._frames[variant] = frame = wrap(variant, data, level=SHARED_LEVEL)
        return frame
