"""Stateful reconnect, the server's side: a connection outlives its WebSocket (HubProtocol.md)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from stakewire.wire.signalr.messages import Ack
from stakewire.wire.signalr.sequence import ReceiveLog, SendLog
from stakewire.wire.signalr.shared import wrap

if TYPE_CHECKING:
    from stakewire.net.signalr.connection import HubConnection

_ACK_SECONDS = 1.0  # as .NET and the JavaScript client do
_ACK_BYTES = 24_000  # a client keeps at most 100,000 unacknowledged; it shall not have to wait for the second


class StatefulEnd:
    """What a connection has only if its client asked for stateful reconnect.

    Attributes:
        sends: what was sent, until it is acknowledged.
        receives: which messages of the client are new.
        ack_at: monotonic time at which an Ack is due; inf if nothing came since the last.
    """

    __slots__ = ("_unacknowledged", "ack_at", "receives", "sends")

    def __init__(self, buffer_bytes: int) -> None:
        self.sends = SendLog(buffer_bytes)
        self.receives = ReceiveLog()
        self.ack_at = inf
        self._unacknowledged = 0

    def came(self, now: float, size: int) -> float:
        """A message of `size` bytes was received; the time at which an Ack is due, which may be now."""
        self._unacknowledged += size
        if self._unacknowledged >= _ACK_BYTES:
            self.ack_at = now
        elif self.ack_at == inf:
            self.ack_at = now + _ACK_SECONDS
        return self.ack_at

    def take_ack(self) -> int | None:
        """The number that the Ack due now has to carry; None if there is nothing to acknowledge."""
        self.ack_at = inf
        self._unacknowledged = 0
        return self.receives.take_ack()

    def resume(self) -> tuple[int, list[bytes]]:
        """On a new WebSocket: the number of our Sequence, and what to send after it."""
        self.receives.reconnected()
        return self.sends.resume()


def send_ack(connection: HubConnection, resumption: StatefulEnd, now: float) -> None:
    """Acknowledge what has come, if anything has and there is a transport to say it on."""
    number, link = resumption.take_ack(), connection.link
    if number is not None and link is not None:
        link.send(wrap(connection.variant, connection.protocol.write(Ack(number))))
        connection.sent_at = now
