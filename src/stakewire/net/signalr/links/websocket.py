"""Hub messages over a WebSocket (TransportProtocols.md, "WebSockets")."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import cast

from stakewire.net.signalr.links.link import LinkOwner
from stakewire.net.signalr.options import WEB_SOCKETS
from stakewire.net.websocket import WebSocketProtocol
from stakewire.wire.signalr.protocol import HubProtocol
from stakewire.wire.signalr.shared import Variant
from stakewire.wire.websocket.errors import CloseCode

# 1005 is JavaScript's `close()` without a code.
_GRACEFUL = frozenset({CloseCode.NORMAL, CloseCode.NO_STATUS})


class WebSocketLink:
    """One WebSocket; owner of the protocol that reads its frames.

    Incoming frames are a stream of bytes, text or binary alike; outgoing ones hold whole hub messages.
    """

    __slots__ = ("_owner", "socket")

    kind = WEB_SOCKETS
    transfer_formats = ("Text", "Binary")
    inherent_keep_alive = False

    def __init__(self, owner: LinkOwner) -> None:
        self._owner = owner
        self.socket = cast(WebSocketProtocol, None)  # set by who opens it, before anything can arrive

    @property
    def busy(self) -> bool:
        """See `Link`."""
        return self.socket.busy

    @property
    def unsent(self) -> int:
        """See `Link`."""
        return self.socket.unsent

    @property
    def transport(self) -> asyncio.WriteTransport:
        """See `Link`."""
        return self.socket.transport

    def variant(self, protocol: HubProtocol) -> Variant:
        """JSON goes in text frames, compressed if that was agreed on; MessagePack in binary ones."""
        if protocol.transfer_format == "Binary":
            return Variant.WS_MESSAGEPACK
        return Variant.WS_JSON_DEFLATE if self.socket.compressed else Variant.WS_JSON

    def send(self, frame: bytes) -> None:
        """See `Link`."""
        self.socket.send_raw(frame)

    def end(self, code: int) -> None:
        """See `Link`; the close handshake has a time limit of its own."""
        self.socket.close(code)

    def abort(self) -> None:
        """See `Link`."""
        self.socket.abort()

    def post(self, body: bytes, answer: Callable[[int], None]) -> bool:
        """See `Link`."""
        return False

    def pause_reading(self) -> None:
        """See `Link`."""
        self.socket.pause_reading()

    def resume_reading(self) -> None:
        """See `Link`."""
        self.socket.resume_reading()

    def look(self, now: float) -> float:
        """Nothing to do: a WebSocket has no deadlines of its own."""
        return inf

    # WebSocketOwner

    def on_message(self, data: bytes, is_text: bool) -> None:
        self._owner.receive(data)

    def on_busy(self) -> None:
        self._owner.link_busy(self)

    def on_drained(self) -> None:
        self._owner.link_drained(self)

    def on_closed(self, clean: bool, code: int) -> None:
        self._owner.link_lost(self, clean=code in _GRACEFUL)
