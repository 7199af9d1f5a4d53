"""A hub on the project's own HTTP server: requests of direct routes as the hub's exchanges."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from stakewire.net.http import DirectExchange, Request
from stakewire.net.signalr.links.link import Link
from stakewire.net.signalr.links.sse import FIRST_COMMENT, HEAD, EventStreamLink, EventStreamProtocol
from stakewire.net.signalr.links.websocket import WebSocketLink
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.request import HeaderLines, HubRequest
from stakewire.net.websocket import accept_websocket

if TYPE_CHECKING:
    from asyncio import BaseTransport

    from stakewire.net.signalr.links.link import LinkOwner

_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux


class DirectHubExchange:
    """See `endpoint.HubExchange`."""

    __slots__ = ("_exchange", "_options", "_raw", "request")

    def __init__(self, raw: Request, exchange: DirectExchange, options: HubOptions) -> None:
        self._raw = raw
        self._exchange = exchange
        self._options = options
        self.request = HubRequest(raw.method, raw.path, raw.query, raw.headers, raw.body, raw.peer)

    @property
    def on_lost(self) -> Callable[[], None] | None:
        """Called if the client goes before the answer."""
        return self._exchange.on_lost

    @on_lost.setter
    def on_lost(self, tell: Callable[[], None] | None) -> None:
        self._exchange.on_lost = tell

    @property
    def wants_websocket(self) -> bool:
        """See `endpoint.HubExchange`."""
        return self._raw.upgrade is not None and b"websocket" in self._raw.upgrade.lower()

    def respond(self, status: int, body: bytes, content_type: bytes, headers: HeaderLines) -> None:
        """See `endpoint.HubExchange`."""
        self._exchange.respond(status, body, content_type, headers)

    def open_websocket(self, owner: LinkOwner, headers: HeaderLines, *, compression: bool) -> Link | None:
        """See `endpoint.HubExchange`."""
        link = WebSocketLink(owner)
        options = self._options
        opened = accept_websocket(
            self._raw,
            self._exchange,
            link,
            max_message=options.max_batch_bytes,
            compression=compression,
            close_seconds=options.close_seconds,
            headers=headers,
        )
        if opened is None:
            return None
        link.socket = opened
        _notice_half_open(opened.transport, options.client_timeout_seconds)
        return link

    def open_event_stream(self, owner: LinkOwner, headers: HeaderLines) -> Link | None:
        """See `endpoint.HubExchange`."""
        link = EventStreamLink(owner, self._options.max_waiting_posts)
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        head = b"%b%b\r\n%b" % (HEAD, lines, FIRST_COMMENT)
        transport = self._exchange.take_over(EventStreamProtocol(link), head)
        if transport is None:
            return None
        _notice_half_open(transport, self._options.client_timeout_seconds)
        return link


def _notice_half_open(transport: BaseTransport, seconds: float) -> None:
    """Have the kernel end a connection whose peer acknowledges nothing for so long.

    A client that has never pinged has no time-out of its own; if its machine is gone, this finds it at our
    next ping, where TCP alone would go on for a quarter of an hour.
    """
    sock = transport.get_extra_info("socket")
    if _USER_TIMEOUT is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(seconds * 1000))
