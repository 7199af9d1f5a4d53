"""WebSocket frames (RFC 6455 section 5): bytes in, whole messages out; and back."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from stakewire.wire.websocket.deflate import inflate_message
from stakewire.wire.websocket.errors import CloseCode, WebSocketError

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FIN: Final = 0x80
_RSV1: Final = 0x40
_RESERVED: Final = 0x30  # RSV2 and RSV3: no extension of ours gives them a meaning
_MASKED: Final = 0x80
_WHOLE_TEXT: Final = _FIN | TEXT
_WHOLE_BINARY: Final = _FIN | BINARY
_CONTROL_MAX: Final = 125
_REASON_MAX: Final = 123
_CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


class Text(msgspec.Struct, frozen=True, gc=False):
    """A whole text message: UTF-8, checked."""

    data: bytes


class Binary(msgspec.Struct, frozen=True, gc=False):
    """A whole binary message."""

    data: bytes


class PingFrame(msgspec.Struct, frozen=True, gc=False):
    """A ping; the answer is a pong with the same data (section 5.5.2)."""

    data: bytes


class PongFrame(msgspec.Struct, frozen=True, gc=False):
    """A pong, asked for or not."""

    data: bytes


class CloseFrame(msgspec.Struct, frozen=True, gc=False):
    """The peer's Close frame; nothing after it is read. An empty one has code 1005 (section 7.1.5)."""

    code: int
    reason: str


Event: TypeAlias = Text | Binary | PingFrame | PongFrame | CloseFrame


def server_frame(opcode: int, payload: bytes, *, rsv1: bool = False) -> bytes:
    """One unmasked, final frame (section 5.2), the same for every receiver.

    Args:
        rsv1: the payload is compressed (RFC 7692 section 6).
    """
    return server_head(opcode, len(payload), rsv1=rsv1) + payload


def server_head(opcode: int, length: int, *, rsv1: bool = False) -> bytes:
    """What stands before a payload of `length` bytes in an unmasked, final frame: 2, 4 or 10 bytes."""
    first = _FIN | (_RSV1 if rsv1 else 0) | opcode
    if length < 126:
        return bytes((first, length))
    if length < 0x10000:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


def client_frame(opcode: int, payload: bytes, key: bytes, *, rsv1: bool = False) -> bytes:
    """One masked, final frame, as clients send them (section 5.3).

    Args:
        key: 4 fresh random bytes.
    """
    head = bytearray(server_head(opcode, len(payload), rsv1=rsv1))
    head[1] |= _MASKED
    return bytes(head) + key + mask(payload, key)


def mask(payload: bytes, key: bytes) -> bytes:
    """The payload with each byte XORed with its byte of the 4-byte key (section 5.3); undoes itself."""
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    # As one long number: Python's XOR and both conversions are linear loops in C.
    return (int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")


def close_payload(code: int, reason: str = "") -> bytes:
    """What a Close frame says; the reason is cut to the 123 bytes that fit (section 5.5.1)."""
    cut = reason.encode("utf-8", "replace")[:_REASON_MAX].decode("utf-8", "ignore")
    return code.to_bytes(2, "big") + cut.encode()


def close_frame(code: int, reason: str = "") -> bytes:
    """A server's Close frame; the reason is cut to the 123 bytes that fit (section 5.5.1)."""
    return server_frame(CLOSE, close_payload(code, reason))


class FrameReader:
    """Turns received bytes into messages and control frames; one per connection, about 100 bytes when idle.

    Holds at most one unfinished frame and one unfinished message, each bounded by `max_message` before any of
    it is kept; takes time linear in what it is fed, however small the pieces.
    """

    __slots__ = ("_deflate", "_held", "_joined", "_kind", "_mask_bit", "_max_message", "_wanted")

    def __init__(self, *, max_message: int, deflate: bool, require_mask: bool = True) -> None:
        """Start at a frame's first byte.

        Args:
            max_message: bytes of a whole message; a compressed one may be an eighth longer than that.
            deflate: permessage-deflate was agreed on, without context takeover by the peer.
            require_mask: True for a server; a client refuses what is masked (section 5.1).
        """
        self._max_message = max_message
        self._deflate = deflate
        self._mask_bit = _MASKED if require_mask else 0
        self._held: bytearray | None = None  # the start of a frame that is not complete yet
        self._wanted = 0  # bytes that `_held` needs before another look pays; -1: nothing is read any more
        self._joined: bytearray | None = None  # the fragments of a message so far
        self._kind = 0  # of that message: opcode and RSV1

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they came; return what they completed, in order.

        After a Close frame, or once it has raised, it ignores everything: the connection is to be closed.

        Raises:
            WebSocketError: the peer broke a rule (1002), sent what is no UTF-8 or deflate (1007) or too much
                (1009). What the same bytes completed before that is lost with the connection.
        """
        held = self._held
        if held is not None:
            held += data
            if len(held) < self._wanted:
                return []
            data = bytes(held)
            self._held = None
        elif self._wanted < 0:
            return []
        try:
            return self._read(data)
        except WebSocketError:
            self._stop()
            raise

    def _read(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        at, end = 0, len(data)
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            length = second & 0x7F
            start = at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > end:
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
            # Nearly every frame is a whole message, uncompressed: no more needs to be asked.
            whole = (
                first in (_WHOLE_TEXT, _WHOLE_BINARY)
                and second & _MASKED == self._mask_bit
                and length <= self._max_message
                and self._joined is None
            )
            if not whole:
                self._check_head(first, second, length)
            if second & _MASKED:
                start += 4
            stop = start + length
            if stop > end:
                self._hold(data, at, stop)
                return events
            payload = data[start:stop]
            if second & _MASKED and length:
                payload = mask(payload, data[start - 4 : start])
            at = stop
            event = _message(first, payload) if whole else self._take(first, payload)
            if event is not None:
                events.append(event)
                if type(event) is CloseFrame:
                    self._stop()
                    return events
        if at < end:
            self._hold(data, at, at + 2 if end - at < 2 else at + (4 if data[at + 1] & 0x7F == 126 else 10))
        return events

    def _hold(self, data: bytes, at: int, stop: int) -> None:
        """Keep an incomplete frame until its bytes up to `stop` are there."""
        self._held = bytearray(data[at:])
        self._wanted = stop - at

    def _stop(self) -> None:
        self._held = self._joined = None
        self._wanted = -1

    def _check_head(self, first: int, second: int, length: int) -> None:
        """Refuse a frame by its head, before its payload is waited for."""
        if second & _MASKED != self._mask_bit:
            wrong = "a client masks its frames" if self._mask_bit else "a server does not mask its frames"
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, wrong)
        opcode = first & 0x0F
        if opcode >= CLOSE:
            if opcode > PONG:
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
            if first & (_RSV1 | _RESERVED):
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a reserved bit is set")
            if length > _CONTROL_MAX or not first & _FIN:
                raise WebSocketError(
                    CloseCode.PROTOCOL_ERROR, "a control frame is whole and holds at most 125 bytes"
                )
            return
        if opcode > BINARY:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        if first & _RESERVED or (first & _RSV1 and not (self._deflate and opcode)):
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a reserved bit is set")
        if self._joined is None:
            if opcode == CONTINUATION:
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a continuation without a beginning")
        else:
            if opcode != CONTINUATION:
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a message began inside another")
            length += len(self._joined)
        bound = self._max_message
        if (self._kind if self._joined is not None else first) & _RSV1:
            bound += bound // 8 + 64  # bytes that do not compress grow by up to an eighth and some heads
        if length > bound:
            raise WebSocketError(CloseCode.TOO_BIG, f"a message is at most {self._max_message} bytes")

    def _take(self, first: int, payload: bytes) -> Event | None:
        """What a checked frame completes, if anything."""
        opcode = first & 0x0F
        if opcode >= CLOSE:
            if opcode == CLOSE:
                return _read_close(payload)
            return PingFrame(payload) if opcode == PING else PongFrame(payload)
        if opcode != CONTINUATION:
            if first & _FIN:
                return self._inflated(first, payload)
            self._joined, self._kind = bytearray(payload), first
            return None
        joined = self._joined
        assert joined is not None, "the head was checked"
        joined += payload
        if not first & _FIN:
            return None
        self._joined = None
        return self._inflated(self._kind, bytes(joined))

    def _inflated(self, first: int, data: bytes) -> Text | Binary:
        return _message(first, inflate_message(data, self._max_message) if first & _RSV1 else data)


def _message(first: int, data: bytes) -> Text | Binary:
    if first & 0x0F == BINARY:
        return Binary(data)
    if not data.isascii():
        _check_utf8(data)
    return Text(data)


def _read_close(payload: bytes) -> CloseFrame:
    if not payload:
        return CloseFrame(CloseCode.NO_STATUS, "")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _CLOSE_CODES:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a Close frame has a code of RFC 6455 section 7.4")
    return CloseFrame(code, _check_utf8(payload[2:]))


def _check_utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise WebSocketError(CloseCode.INVALID_DATA, "text is UTF-8") from None
