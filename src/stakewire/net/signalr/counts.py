"""What a hub counts, as plain numbers on its hot paths; `metrics.py` hands them to Prometheus."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum


class CloseReason(StrEnum):
    """Why a connection has ended for good."""

    CLIENT = "client"  # it left in order
    LOST = "lost"  # its transport was cut, or it did not come back in time
    SLOW = "slow"  # it did not take what was sent to it
    SILENT = "silent"  # it sent nothing for too long
    EXPIRED = "expired"  # its token did
    REFUSED = "refused"  # its handshake, or one of its messages
    HUB = "hub"  # by the hub's own code, or because that failed
    STOPPING = "stopping"  # the process ends
    MISSED = "missed"  # the backplane lost messages, so the client has to begin anew


class HubCounts:
    """Since the start of the process.

    Attributes:
        sent, sent_bytes: messages to clients, one per receiver, framed; without pings and acknowledgements.
        received, received_bytes: messages of clients, pings included, and the bytes that they came in.
        skipped: how often a topic passed over a reader with unsent bytes.
        closes: connections that have ended, handshakes that failed included.
    """

    __slots__ = ("closes", "received", "received_bytes", "sent", "sent_bytes", "skipped")

    def __init__(self) -> None:
        self.sent = self.sent_bytes = self.received = self.received_bytes = self.skipped = 0
        self.closes: Counter[CloseReason] = Counter()
