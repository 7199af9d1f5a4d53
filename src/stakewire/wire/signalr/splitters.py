"""Cuts a stream of bytes into the records of a hub protocol, within a bound and in linear time."""

from __future__ import annotations

from typing import Final, Protocol

from stakewire.wire.signalr.errors import MessageTooLarge, ProtocolError

SEPARATOR: Final = b"\x1e"
MAX_LENGTH: Final = 0x7FFFFFFF
_PREFIX_MAX: Final = 5


class Splitter(Protocol):
    """One per connection; keeps at most one unfinished record."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they came; return the records they completed, without separator or prefix.

        Once it has raised it must not be fed again.

        Raises:
            MessageTooLarge: a record exceeds the bound.
            ProtocolError: a length prefix is none.
        """
        ...


class JsonSplitter:
    """Records that end with 0x1E."""

    __slots__ = ("_held", "_max_message")

    def __init__(self, max_message: int) -> None:
        """Start at a record's first byte.

        Args:
            max_message: bytes of a record, without its separator.
        """
        self._max_message = max_message
        self._held: bytearray | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """See `Splitter.feed`."""
        records = data.split(SEPARATOR)
        rest = records.pop()
        held = self._held
        if held is not None:
            if not records:
                return self._keep(held, rest)
            held += records[0]
            records[0] = bytes(held)
            self._held = None
        for record in records:
            if len(record) > self._max_message:
                raise too_large(self._max_message)
        return self._keep(bytearray(), rest, records) if rest else records

    def _keep(self, held: bytearray, rest: bytes, records: list[bytes] | None = None) -> list[bytes]:
        if len(held) + len(rest) > self._max_message:
            raise too_large(self._max_message)
        held += rest
        self._held = held
        return records or []


class MessagePackSplitter:
    """Records with their length before them: base 128, little end first, 1 to 5 bytes."""

    __slots__ = ("_held", "_max_message", "_wanted")

    def __init__(self, max_message: int) -> None:
        """Start at a prefix's first byte.

        Args:
            max_message: bytes of a record, without its prefix.
        """
        self._max_message = max_message
        self._held: bytearray | None = None
        self._wanted = 0  # bytes that `_held` needs before another look pays

    def feed(self, data: bytes) -> list[bytes]:
        """See `Splitter.feed`."""
        held = self._held
        if held is not None:
            held += data
            if len(held) < self._wanted:
                return []
            data = bytes(held)
            self._held = None
        records: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            length = data[at]
            start = at + 1
            if length >= 0x80:
                length, start = read_prefix(data, at)
            if length > self._max_message:
                raise too_large(self._max_message)
            stop = start + length
            if stop > end or start == at:
                self._held = bytearray(data[at:])
                self._wanted = (stop if start > at else end + 1) - at
                return records
            records.append(data[start:stop])
            at = stop
        return records


def read_prefix(data: bytes, at: int) -> tuple[int, int]:
    """The length that the prefix at `at` tells, and where its record starts; (0, at) if it is incomplete.

    Raises:
        ProtocolError: more than 5 bytes, or more than 0x7FFFFFFF.
    """
    length = 0
    for index, byte in enumerate(data[at : at + _PREFIX_MAX]):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if length > MAX_LENGTH:
                break
            return length, at + index + 1
    else:
        if len(data) - at < _PREFIX_MAX:
            return 0, at
    raise ProtocolError("a length prefix has at most 5 bytes and says at most 0x7FFFFFFF")


def write_prefix(length: int) -> bytes:
    """The prefix of a record of `length` bytes."""
    if length < 0x80:
        return bytes((length,))
    prefix = bytearray()
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix)


def too_large(max_message: int) -> MessageTooLarge:
    """The error that says so."""
    return MessageTooLarge(f"a message is at most {max_message} bytes")
