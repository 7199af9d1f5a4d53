"""Stateful reconnect, the server's side: a connection outlives its WebSocket (HubProtocol.md)."""

from __future__ import annotations

from math import inf

from stakewire.wire.signalr.sequence import ReceiveLog, SendLog

_ACK_SECONDS = 1.0  # as .NET and the JavaScript client do


class StatefulEnd:
    """What a connection has only if its client asked for stateful reconnect.

    Attributes:
        sends: what was sent, until it is acknowledged.
        receives: which messages of the client are new.
        ack_at: monotonic time at which an Ack is due; inf if nothing came since the last.
    """

    __slots__ = ("ack_at", "receives", "sends")

    def __init__(self, buffer_bytes: int) -> None:
        self.sends = SendLog(buffer_bytes)
        self.receives = ReceiveLog()
        self.ack_at = inf

    def came(self, now: float) -> float:
        """A message was received; the time at which an Ack is due."""
        if self.ack_at == inf:
            self.ack_at = now + _ACK_SECONDS
        return self.ack_at

    def take_ack(self) -> int | None:
        """The number that the Ack due now has to carry; None if there is nothing to acknowledge."""
        self.ack_at = inf
        return self.receives.take_ack()

    def resume(self) -> tuple[int, list[bytes]]:
        """On a new WebSocket: the number of our Sequence, and what to send after it."""
        self.receives.reconnected()
        self.ack_at = inf
        return self.sends.resume()
