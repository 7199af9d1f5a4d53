"""Stateful reconnect (HubProtocol.md, Ack and Sequence), both ends: what to send again, what came before.

Tracked messages (types 1 to 5) are counted from 1 by both ends; the number is not on the wire, so the same
frame can be sent to many connections.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from stakewire.wire.signalr.errors import ProtocolError
from stakewire.wire.signalr.messages import HubMessage, Sequence, is_tracked

BUFFER_BYTES: Final = 100_000
"""The bound of .NET and of the JavaScript client, each way."""


class SendLog:
    """What we sent and may have to send again, by reference.

    An acknowledgement may come early: the official client acknowledges the highest number it ever saw, also
    while a replay that began below is still under way, and counts on from where that replay is cut off. The
    next replay must not begin beyond that. So what a replay held is kept until a message newer than all of it
    is acknowledged; only then is it known that the replay arrived.
    """

    __slots__ = ("_held", "_held_bytes", "_last", "_max_bytes", "_replayed", "_unacked", "_unacked_bytes")

    def __init__(self, max_bytes: int = BUFFER_BYTES) -> None:
        """Begin with nothing sent.

        Args:
            max_bytes: of frames not acknowledged, beyond which `full` asks the sender to wait.
        """
        self._max_bytes = max_bytes
        self._held: deque[bytes] = deque()  # acknowledged, perhaps early
        self._held_bytes = 0
        self._unacked: deque[bytes] = deque()  # what follows, up to number `_last`
        self._unacked_bytes = 0
        self._last = 0  # number of the message sent last
        self._replayed = 0  # number of the message sent last when the newest replay began

    @property
    def full(self) -> bool:
        """More than the bound is not acknowledged: hold back further messages until `acked` frees some."""
        return self._unacked_bytes > self._max_bytes

    @property
    def hopeless(self) -> bool:
        """More than twice the bound would have to be sent again: end the connection, do not resume it.

        Only replays cut off one after the other, each with early acknowledgements, lead here; or messages
        sent without heeding `full`.
        """
        return self._held_bytes + self._unacked_bytes > 2 * self._max_bytes

    def sent(self, frame: bytes) -> None:
        """Count a tracked message; call it also while there is no transport: the replay will send it.

        Args:
            frame: as `resume` is to give it back. The next WebSocket may be without compression, so it must
                not be compressed.
        """
        self._last += 1
        self._unacked.append(frame)
        self._unacked_bytes += len(frame)

    def acked(self, sequence_id: int) -> None:
        """Forget what the peer has for certain.

        Raises:
            ProtocolError: it acknowledges what was never sent.
        """
        if sequence_id > self._last:
            raise ProtocolError("more messages were acknowledged than were sent")
        unacked, held = self._unacked, self._held
        for _ in range(self._last - len(unacked), sequence_id):
            frame = unacked.popleft()
            self._unacked_bytes -= len(frame)
            held.append(frame)
            self._held_bytes += len(frame)
        if sequence_id > self._replayed:
            held.clear()
            self._held_bytes = 0

    def resume(self) -> tuple[int, list[bytes]]:
        """On a new transport: the number to send as Sequence, then what to send after it, in order."""
        self._replayed = self._last
        frames = [*self._held, *self._unacked]
        return self._last - len(frames) + 1, frames


class ReceiveLog:
    """Which messages of the peer are new."""

    __slots__ = ("_acked", "_awaits_sequence", "_latest", "_next")

    def __init__(self) -> None:
        """Begin with nothing received."""
        self._next = 1  # number of the tracked message that comes next
        self._latest = 0  # highest number seen
        self._acked = 0  # what `take_ack` gave last
        self._awaits_sequence = False

    def reconnected(self) -> None:
        """A new transport: everything is ignored until the peer's Sequence."""
        self._awaits_sequence = True

    def accept(self, message: HubMessage) -> bool:
        """Whether to act on a message: not if it was seen before, nor before the Sequence of a new transport.

        Sequence itself is dealt with here, and never to be acted on.

        Raises:
            ProtocolError: a Sequence skips messages that never came.
        """
        if type(message) is Sequence:
            self.sequence(message.sequence_id)
            return False
        if self._awaits_sequence:
            return False
        return self.received() if is_tracked(message) else True

    def sequence(self, sequence_id: int) -> None:
        """The peer is about to send from this number on.

        Raises:
            ProtocolError: it skips messages that never came.
        """
        if sequence_id > self._next:
            raise ProtocolError("the Sequence is beyond the messages that were received")
        self._next = max(sequence_id, 1)
        self._acked = self._next - 1
        self._awaits_sequence = False

    def received(self) -> bool:
        """Count a tracked message; False if it was seen before."""
        number = self._next
        self._next = number + 1
        if number <= self._latest:
            return False
        self._latest = number
        return True

    def take_ack(self) -> int | None:
        """The number to acknowledge, if anything came since the last call; call it about once a second.

        Never beyond what the current replay has brought, though more was seen before: see `SendLog`.
        """
        received = self._next - 1
        if self._awaits_sequence or received == self._acked:
            return None
        self._acked = received
        return received
