"""Per-message deflate without context takeover (RFC 7692): a message stands alone, so it can be shared."""

from __future__ import annotations

import zlib
from typing import Final

from stakewire.wire.websocket.errors import CloseCode, WebSocketError

RAW_WINDOW: Final = -15  # raw deflate, 32 KiB window
TAIL: Final = b"\x00\x00\xff\xff"  # what a sync flush ends with, and the wire leaves out (section 7.2.1)
_LAST_BLOCK: Final = b"\x03\x00"  # an empty final block: reached only if the message ended between two blocks
_LEFT_OVER: Final = frozenset({b"", b"\x00" + TAIL + _LAST_BLOCK, TAIL + _LAST_BLOCK})


def deflate_message(payload: bytes, level: int = 1) -> bytes:
    """The payload of a compressed message (RFC 7692 section 7.2.1), to be sent with RSV1 set.

    Args:
        level: 1 (fast) to 9; level 1 already takes a 2.7 KB hub message to a sixth.
    """
    deflater = zlib.compressobj(level, zlib.DEFLATED, RAW_WINDOW)
    return deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)[: -len(TAIL)]


def inflate_message(payload: bytes, max_message: int) -> bytes:
    """The message inside a compressed one (RFC 7692 section 7.2.2); stops at the bound, however much follows.

    Raises:
        WebSocketError: 1009, it inflates to more than `max_message` bytes; 1007, it is not deflate, ends
            inside a block, or goes on after its last block.
    """
    inflater = zlib.decompressobj(RAW_WINDOW)
    try:
        message = inflater.decompress(payload + TAIL + _LAST_BLOCK, max_message + 1)
    except zlib.error:
        raise WebSocketError(CloseCode.INVALID_DATA, "a compressed message is not deflate") from None
    if len(message) > max_message:
        raise WebSocketError(CloseCode.TOO_BIG, f"a message is at most {max_message} bytes")
    # A peer may close the stream itself (section 7.2.3.4): then what we added is left over.
    if not inflater.eof or inflater.unused_data not in _LEFT_OVER:
        raise WebSocketError(CloseCode.INVALID_DATA, "a compressed message is incomplete")
    return message
