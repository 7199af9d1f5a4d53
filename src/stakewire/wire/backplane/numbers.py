"""Numbers around each message, so that a reader notices what is missing and what came twice.

A message on a backplane is a version byte, its publisher (16 characters, new at each start of a process),
its number (8 bytes, big-endian, from 1) and its body. Without a body it is a beat: it says how far the
publisher has come, so that a loss at the tail is noticed too.
"""

from __future__ import annotations

import struct
from collections import OrderedDict, deque
from typing import Final, NamedTuple

from stakewire.errors import InvalidInput, Unavailable
from stakewire.ids import Tokens

_HEAD: Final = struct.Struct(">B16sQ")
_VERSION: Final = 1
_PUBLISHER_BYTES: Final = 12  # 16 characters of base64url

MAX_BODY: Final = 512 * 1024
"""Most bytes of one message: half of what a NATS server takes by default."""


class Foreign(Exception):
    """These bytes were written by somebody else, or by another version of this program."""


class Outgoing:
    """The publisher's side: messages numbered and waiting to be written, within a bound."""

    __slots__ = ("_bytes", "_last", "_max_bytes", "_max_messages", "_publisher", "_waiting")

    def __init__(self, tokens: Tokens, *, max_messages: int, max_bytes: int) -> None:
        self._publisher = tokens.token(_PUBLISHER_BYTES).encode()
        self._last = 0
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    def put(self, body: bytes) -> None:
        """Number a message and let it wait.

        Raises:
            InvalidInput: it is longer than `MAX_BODY`, or empty.
            Unavailable: as much as may wait waits already; the message was not taken.
        """
        if not 0 < len(body) <= MAX_BODY:
            raise InvalidInput(f"a message between hub processes has 1 to {MAX_BODY} bytes, not {len(body)}")
        if len(self._waiting) >= self._max_messages or self._bytes + len(body) > self._max_bytes:
            raise Unavailable(
                f"{len(self._waiting)} messages wait for the backplane already; try again when it is back",
                code="BACKPLANE_FULL",
            )
        self._last += 1
        self._waiting.append(_HEAD.pack(_VERSION, self._publisher, self._last) + body)
        self._bytes += len(body)

    def first(self, *, max_messages: int, max_bytes: int) -> list[bytes]:
        """The oldest messages, at least one if any waits; they go on waiting until `written`."""
        batch: list[bytes] = []
        for message in self._waiting:
            max_bytes -= len(message)
            if batch and (max_bytes < 0 or len(batch) == max_messages):
                break
            batch.append(message)
        return batch

    def written(self, count: int) -> None:
        """The `count` oldest messages are with the backplane."""
        for _ in range(count):
            self._bytes -= len(self._waiting.popleft()) - _HEAD.size

    def knows(self, message: bytes) -> int | None:
        """The number of a message or beat that this publisher made; None for those of others."""
        _, publisher, number = _HEAD.unpack_from(message)
        return number if publisher == self._publisher else None

    def beat(self) -> bytes:
        """How far this publisher has come; to be sent behind everything that waits."""
        return _HEAD.pack(_VERSION, self._publisher, self._last)


class Arrival(NamedTuple):
    """What a message means to this reader: `missed` if others are missing before it, `body` if it is new."""

    missed: bool
    body: bytes | None


class Arrivals:
    """The reader's side: where each publisher stands. A publisher heard for the first time is believed."""

    __slots__ = ("_last", "_max_publishers")

    def __init__(self, *, max_publishers: int = 4096) -> None:
        self._last: OrderedDict[bytes, int] = OrderedDict()
        self._max_publishers = max_publishers  # beyond it the one silent for longest is forgotten

    def take(self, data: bytes) -> Arrival:
        """Judge one message.

        Raises:
            Foreign: it is none of ours.
        """
        if len(data) < _HEAD.size or data[0] != _VERSION:
            raise Foreign(f"{len(data)} bytes that do not begin like a message between hub processes")
        _, publisher, number = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        last = self._last.get(publisher)
        expected = number if not body else number - 1
        missed = last is not None and expected > last
        fresh = body if body and (last is None or number > last) else None
        self._last[publisher] = number if last is None else max(last, number)
        self._last.move_to_end(publisher)
        if len(self._last) > self._max_publishers:
            self._last.popitem(last=False)
        return Arrival(missed, fresh)
