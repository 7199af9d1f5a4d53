"""WebSockets of our own HTTP server: `accept_websocket` and the protocol that it puts on the connection.

accept.py    from a request of a direct route to a WebSocket
protocol.py  one open WebSocket: messages, pings, the close handshake, a peer that does not read
"""

from __future__ import annotations

from stakewire.net.websocket.accept import accept_websocket
from stakewire.net.websocket.protocol import WebSocketOwner, WebSocketProtocol

__all__ = ["WebSocketOwner", "WebSocketProtocol", "accept_websocket"]
