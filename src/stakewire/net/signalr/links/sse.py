"""Hub messages as server-sent events, with POSTs as the way up (TransportProtocols.md)."""

from __future__ import annotations

import asyncio
from math import inf
from typing import cast

from stakewire.net.http import TakenOver
from stakewire.net.signalr.links.link import LinkOwner
from stakewire.net.signalr.links.posts import PostedLink
from stakewire.net.signalr.options import SERVER_SENT_EVENTS
from stakewire.wire.signalr.protocol import HubProtocol
from stakewire.wire.signalr.shared import Variant

HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: text/event-stream\r\n"
    b"cache-control: no-cache,no-store\r\n"
    b"pragma: no-cache\r\n"
    b"content-encoding: identity\r\n"
    b"x-accel-buffering: no\r\n"
    b"connection: close\r\n"
)
"""The head of the answer, up to CORS. Its body ends with the connection, so that events need no chunks."""

FIRST_COMMENT = b":\r\n\r\n"
"""Firefox reports a stream as open only when a byte has come."""


class EventStreamLink(PostedLink):
    """One event stream."""

    __slots__ = ("_over", "busy", "transport")

    kind = SERVER_SENT_EVENTS
    transfer_formats = ("Text",)
    inherent_keep_alive = False

    def __init__(self, owner: LinkOwner, max_waiting_posts: int) -> None:
        super().__init__(owner, max_waiting_posts)
        self.transport = cast(
            asyncio.Transport, None
        )  # set by the protocol when it takes over, which is at once
        self.busy = False
        self._over = False

    @property
    def unsent(self) -> int:
        """See `Link`."""
        return self.transport.get_write_buffer_size()

    def variant(self, protocol: HubProtocol) -> Variant:
        """See `Link`; only text fits into events."""
        return Variant.SSE_JSON

    def send(self, frame: bytes) -> None:
        """See `Link`."""
        if not self._over:
            self.transport.write(frame)

    def end(self, code: int) -> None:
        """See `Link`; an event stream has no word for its end."""
        self._over = True
        self.refuse_posts()
        self.transport.close()

    def abort(self) -> None:
        """See `Link`."""
        self._over = True
        self.refuse_posts()
        self.transport.abort()

    def look(self, now: float) -> float:
        """Nothing to do: an event stream has no deadlines of its own."""
        return inf

    # For its protocol.

    def turned(self, *, busy: bool) -> None:
        """Bytes wait from here on, or none any more."""
        self.busy = busy
        if busy:
            self._owner.link_busy(self)
        else:
            self._owner.link_drained(self)

    def lost(self, *, clean: bool) -> None:
        """The connection is gone, which is also how a client says that it stops."""
        self._over = True
        self.refuse_posts()
        self._owner.link_lost(self, clean=clean)


class EventStreamProtocol(TakenOver):
    """The connection that an event stream is written on, taken over from HTTP."""

    __slots__ = ("_link",)

    def __init__(self, link: EventStreamLink) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link.transport = cast(asyncio.Transport, transport)
        self._link.transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Nothing may follow the request of an event stream; it is ignored."""

    def pause_writing(self) -> None:
        self._link.turned(busy=True)

    def resume_writing(self) -> None:
        self._link.turned(busy=False)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._link.lost(clean=exc is None)
