"""One number that differs per subscriber inside an otherwise shared message: a slot of fixed width.

JSON allows spaces before a number, and MessagePack has integers of fixed width, so everything before and
after the slot, lengths included, is the same for all. Compressed, the slot is a stored block between two
shared ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import msgspec

from stakewire.wire.signalr.errors import NotWritable
from stakewire.wire.signalr.messages import HubMessage
from stakewire.wire.signalr.shared import DEFLATE_FROM, SHARED_LEVEL, Variant, wrap
from stakewire.wire.websocket.deflate import RAW_WINDOW, TAIL
from stakewire.wire.websocket.frames import TEXT, server_head

MAX_NUMBER: Final = 0xFFFF_FFFF
_WIDTH: Final = 10  # digits of MAX_NUMBER
_JSON_SLOT: Final = b"\xff" * _WIDTH  # occurs in no UTF-8
_STORED: Final = _WIDTH.to_bytes(2, "little") + (_WIDTH ^ 0xFFFF).to_bytes(2, "little")


class NumberedMessage:
    """A message with one number left open; costs a subscriber one concatenation."""

    __slots__ = ("_halves", "_make")

    def __init__(self, make: Callable[[object], HubMessage]) -> None:
        """Take what makes the message.

        Args:
            make: puts what it is given where the number belongs: into the arguments, the item or the result,
                at any depth, once, as a value. It is called when a variant is first asked for.
        """
        self._make = make
        self._halves: list[tuple[bytes, bytes] | None] = [None] * len(Variant)

    def frame(self, variant: Variant, number: int) -> bytes:
        """The bytes to write on a connection of this variant, with this number.

        Raises:
            ValueError: `number` is not between 0 and 4,294,967,295.
            NotWritable: a value in it has no form in the variant's protocol, or the number is not in it once.
        """
        before, after = self.halves(variant)
        if not 0 <= number <= MAX_NUMBER:
            raise ValueError(f"{number} is not between 0 and {MAX_NUMBER}")
        if variant in _BINARY_SLOT:
            return b"%b%b%b" % (before, number.to_bytes(4, "big"), after)
        return b"%b%10d%b" % (before, number, after)

    def halves(self, variant: Variant) -> tuple[bytes, bytes]:
        """What stands before and after the slot, the same objects each time; see `slot_maker`.

        Raises:
            NotWritable: as `frame`.
        """
        return self._halves[variant] or self._cut(variant)

    def _cut(self, variant: Variant) -> tuple[bytes, bytes]:
        if variant in _BINARY_SLOT:
            halves = self._cut_messagepack(variant)
        else:
            data = variant.protocol.write(self._make(msgspec.Raw(_JSON_SLOT)))
            if data.count(_JSON_SLOT) != 1:
                raise NotWritable("a numbered message holds its number once")
            if variant is Variant.WS_JSON_DEFLATE and len(data) >= DEFLATE_FROM:
                halves = _deflate_halves(*data.split(_JSON_SLOT))
            else:
                before, _, after = wrap(variant, data).partition(_JSON_SLOT)
                halves = before, after
        self._halves[variant] = halves
        return halves

    def _cut_messagepack(self, variant: Variant) -> tuple[bytes, bytes]:
        """Where two numbers of the same width make a difference, there is the slot."""
        low = wrap(variant, variant.protocol.write(self._make(msgspec.Raw(b"\xce\x00\x00\x00\x00"))))
        high = wrap(variant, variant.protocol.write(self._make(msgspec.Raw(b"\xce\xff\xff\xff\xff"))))
        difference = int.from_bytes(low, "big") ^ int.from_bytes(high, "big")
        behind = (
            (difference & -difference).bit_length() - 1
        ) // 8  # bytes behind the slot; -1: no difference
        if len(low) != len(high) or behind < 0 or difference != MAX_NUMBER << 8 * behind:
            raise NotWritable("a numbered message holds its number once")
        stop = len(low) - behind
        return low[: stop - 4], low[stop:]


_BINARY_SLOT: Final = frozenset({Variant.WS_MESSAGEPACK, Variant.POLL_MESSAGEPACK, Variant.RAW_MESSAGEPACK})


def slot_maker(variant: Variant) -> Callable[[int], bytes]:
    """What makes the slot of a number, for those who put the frames together themselves."""
    return _big_endian if variant in _BINARY_SLOT else b"%10d".__mod__


def _big_endian(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _deflate_halves(before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """A compressed frame around a stored block (RFC 1951 section 3.2.4) that holds the slot."""
    first = zlib.compressobj(SHARED_LEVEL, zlib.DEFLATED, RAW_WINDOW)
    # A sync flush ends with an empty stored block, whose last bytes say its length: put ours there.
    shared = first.compress(before) + first.flush(zlib.Z_SYNC_FLUSH)[: -len(TAIL)] + _STORED
    # The second half may refer to the first, but not to the digits; 0xFF never occurs in it, so it cannot.
    second = zlib.compressobj(SHARED_LEVEL, zlib.DEFLATED, RAW_WINDOW, zdict=before + _JSON_SLOT)
    rest = second.compress(after) + second.flush(zlib.Z_SYNC_FLUSH)[: -len(TAIL)]
    return server_head(TEXT, len(shared) + _WIDTH + len(rest), rsv1=True) + shared, rest
