"""What a connection needs of a transport, and what a transport tells its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from stakewire.wire.signalr.protocol import HubProtocol
from stakewire.wire.signalr.shared import Variant


class Link(Protocol):
    """One transport while it serves a connection: a WebSocket, an event stream, or a series of polls.

    Attributes:
        kind: its name in negotiation ("WebSockets").
        transfer_formats: what it carries: "Text", "Binary".
        inherent_keep_alive: the transport notices a lost client by itself: no pings, no client timeout.
        busy: bytes wait that the client has not taken; a state may be skipped until `link_drained`.
        unsent: how many.
        transport: the socket's, for those who write the same bytes to many (`transport.write(frame)` is
            legal whenever `busy` is false); None where there is no lasting one.
    """

    @property
    def kind(self) -> str: ...
    @property
    def transfer_formats(self) -> tuple[str, ...]: ...
    @property
    def inherent_keep_alive(self) -> bool: ...
    @property
    def busy(self) -> bool: ...
    @property
    def unsent(self) -> int: ...
    @property
    def transport(self) -> asyncio.WriteTransport | None: ...

    def variant(self, protocol: HubProtocol) -> Variant:
        """How frames of this hub protocol are made for this transport."""
        ...

    def send(self, frame: bytes) -> None:
        """Send bytes that are framed for the variant; never waits, and does nothing after the end."""

    def end(self, code: int) -> None:
        """Let the client have what was sent, then close; `code` is for WebSockets (RFC 6455 section 7.4)."""

    def abort(self) -> None:
        """Cut the transport now; what it then still tells its owner is ignored there."""

    def post(self, body: bytes, answer: Callable[[int], None]) -> bool:
        """Take a POST and answer its status, then or later; false if this transport needs none."""
        ...

    def pause_reading(self) -> None:
        """Take nothing further from the client."""

    def resume_reading(self) -> None:
        """Take from the client again; harmless if it was not paused."""

    def look(self, now: float) -> float:
        """Act on the transport's own deadlines up to `now` (monotonic); the next one, inf for none."""
        ...


class LinkOwner(Protocol):
    """What a link tells; `HubConnection` is the one owner."""

    def receive(self, data: bytes) -> None:
        """Bytes of hub messages, in order, cut anywhere."""

    def link_busy(self, link: Link) -> None:
        """From here on sent bytes wait, and the client has to take them within `send_stall_seconds`."""

    def link_drained(self, link: Link) -> None:
        """No byte waits any more."""

    def link_lost(self, link: Link, *, clean: bool) -> None:
        """The transport is gone, `clean` if the client ended it in order; told once."""

    def link_looks_at(self, at: float) -> None:
        """The link's `look` wants to be called by then (monotonic)."""

    def link_time(self) -> float:
        """The monotonic time."""
        ...
