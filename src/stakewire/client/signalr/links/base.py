"""What every transport offers, and how one ends."""

from __future__ import annotations

from typing import Protocol

BATCH_BYTES = 16 * 1024
# Several hub messages may share one WebSocket message or POST: half of 32 KiB, the usual limit of servers.


class LinkEnded(Exception):
    """The transport is gone.

    Attributes:
        reason: for people.
        clean: the server ended it in an orderly way; the connection is over and cannot be resumed.
    """

    def __init__(self, reason: str, *, clean: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.clean = clean


class HttpRefused(Exception):
    """The server answered a request with a status that means no."""

    def __init__(self, doing: str, status: int) -> None:
        super().__init__(f"{doing} was answered with status {status}")
        self.status = status


class Link(Protocol):
    """An open transport. `send` and `receive` may wait at the same time, each in one task."""

    inherent_keep_alive: bool  # polling is a sign of life by itself: no pings, no server timeout
    duplex: bool  # both directions break together, so that after a failed `send` `receive` soon ends, too

    async def send(self, data: bytes) -> None:
        """Hand over whole hub messages; returns when there is room for more. Raises LinkEnded."""
        ...

    async def receive(self) -> bytes:
        """The next bytes that came, at least one. Raises LinkEnded."""
        ...

    async def close(self) -> None:
        """End it in an orderly way, or at once if it is gone already; never raises what the network does."""
        ...

    def abort(self) -> None:
        """Drop it at once, so that the server sees an abnormal end."""
        ...
