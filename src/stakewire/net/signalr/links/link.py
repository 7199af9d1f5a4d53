"""What a connection needs of a transport, and what a transport tells its connection."""

from __future__ import annotations

import asyncio
from typing import Protocol

from stakewire.wire.signalr.shared import Variant


class Link(Protocol):
    """One transport while it serves a connection: a WebSocket, an event stream, or a series of polls.

    Attributes:
        variant: how frames for this transport are made; a property of the transport and the hub protocol
            together, so it is settled by the handshake.
        inherent_keep_alive: the transport notices a lost client by itself: no pings, no client timeout.
        busy: bytes wait that the client has not taken; a state may be skipped until `link_drained`.
        unsent: how many.
        transport: the socket's, for those who write the same bytes to many (`transport.write(frame)` is
            legal whenever `busy` is false); None where there is no lasting one.
    """

    variant: Variant

    @property
    def inherent_keep_alive(self) -> bool: ...
    @property
    def busy(self) -> bool: ...
    @property
    def unsent(self) -> int: ...
    @property
    def transport(self) -> asyncio.WriteTransport | None: ...

    def send(self, frame: bytes) -> None:
        """Send bytes that are framed for `variant`; never waits, and does nothing after the end."""

    def end(self, code: int) -> None:
        """Let the client have what was sent, then close; `code` is for WebSockets (RFC 6455 section 7.4)."""

    def abort(self) -> None:
        """Cut the transport now."""

    def pause_reading(self) -> None:
        """Take nothing further from the client."""

    def resume_reading(self) -> None:
        """Take from the client again."""

    def look(self, now: float) -> float:
        """Act on the transport's own deadlines up to `now` (monotonic); the next one, inf for none."""
        ...


class LinkOwner(Protocol):
    """What a link tells; `HubConnection` is the one owner."""

    def receive(self, data: bytes) -> None:
        """Bytes of hub messages, in order, cut anywhere."""

    def link_busy(self, link: Link) -> None:
        """From here on sent bytes wait."""

    def link_drained(self, link: Link) -> None:
        """No byte waits any more."""

    def link_lost(self, link: Link, *, clean: bool) -> None:
        """The transport is gone; `clean` if the client ended it in order. Told once, and not after abort."""
