"""The routes of one hub over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stakewire.net.signalr.connection import HubConnection
from stakewire.net.signalr.links.link import Link
from stakewire.net.signalr.request import HubRequest

HeaderLines = Sequence[tuple[bytes, bytes]]


class HubExchange(Protocol):
    """One request to a hub and the ways of answering it: the seam between a hub and the HTTP server it is on.

    Exactly one of `respond`, `open_websocket` and `open_event_stream` is called, at once or later.

    Attributes:
        request: complete, its body included.
        on_lost: called if the client goes before the answer.
    """

    request: HubRequest

    def respond(self, status: int, body: bytes, content_type: bytes, headers: HeaderLines) -> None: ...

    @property
    def wants_websocket(self) -> bool:
        """The request is a WebSocket upgrade."""
        ...

    def open_websocket(self, owner: HubConnection, headers: HeaderLines) -> Link | None:
        """Accept the upgrade; None if it was not acceptable and has been answered."""

    def open_event_stream(self, owner: HubConnection, headers: HeaderLines) -> Link:
        """Answer 200 with an event stream and its first comment line."""
        ...
