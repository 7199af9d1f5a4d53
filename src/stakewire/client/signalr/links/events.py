"""Server-sent events as bytes in, data out (WHATWG HTML, section 9.2.6), without a socket."""

from __future__ import annotations


class EventTooLarge(ValueError):
    """One event holds more bytes than allowed."""


class EventReader:
    """Takes a stream of events in pieces of any size.

    Only `data` matters to SignalR: comments, names and ids are passed over.
    """

    __slots__ = ("_buffered", "_data", "_max", "_rest", "_skip_newline")

    def __init__(self, max_event: int) -> None:
        """Allow `max_event` bytes in one event."""
        self._rest = b""
        self._data: list[bytes] = []
        self._buffered = 0
        self._max = max_event
        self._skip_newline = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of each event that `piece` completes; lines of one event are joined by a line feed.

        Raises:
            EventTooLarge: an event passes the limit, complete or not.
        """
        if self._skip_newline and piece[:1] == b"\n":
            piece = piece[1:]  # the second half of a CRLF that lay over two pieces
        self._skip_newline = piece[-1:] == b"\r" if piece else self._skip_newline
        lines = (self._rest + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()
        found = []
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                found.append(b"\n".join(self._data))
                self._data, self._buffered = [], 0
        if self._buffered + len(self._rest) > self._max:
            raise EventTooLarge(f"an event holds more than {self._max} bytes")
        return found

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._buffered += len(value)
            if self._buffered > self._max:
                raise EventTooLarge(f"an event holds more than {self._max} bytes")
