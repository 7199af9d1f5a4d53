"""From a request of a direct route to a WebSocket (RFC 6455 section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

from stakewire.net.http import DirectExchange, Request, error_body
from stakewire.net.websocket.protocol import WebSocketOwner, WebSocketProtocol
from stakewire.wire.websocket.errors import UpgradeRefused
from stakewire.wire.websocket.frames import FrameReader
from stakewire.wire.websocket.handshake import accept_head, check_upgrade


def accept_websocket(
    request: Request,
    exchange: DirectExchange,
    owner: WebSocketOwner,
    *,
    max_message: int,
    compression: bool,
    close_seconds: float = 5.0,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> WebSocketProtocol | None:
    """Open the WebSocket that `request` asks for; what arrives on it is told to `owner`, later.

    Args:
        max_message: bytes of one incoming message, fragments joined and inflated.
        compression: permessage-deflate is used if the client offers it; see `WebSocketProtocol.compressed`.
        close_seconds: how long the close handshake may take.
        headers: further headers of the 101 answer; their values must not contain line ends.

    Returns:
        The open WebSocket. None if the request was not in order, which has been answered, or the client gone.
    """
    try:
        upgrade = check_upgrade(request.headers)
    except UpgradeRefused as refused:
        body = error_body(refused.code, refused.message)
        exchange.respond(refused.status, body, headers=(*refused.headers, *headers))
        return None
    deflate = compression and upgrade.deflate is not None
    reader = FrameReader(max_message=max_message, deflate=deflate)
    socket = WebSocketProtocol(owner, reader, compressed=deflate, close_seconds=close_seconds)
    head = accept_head(upgrade, deflate=deflate)
    if headers:
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        head = head.removesuffix(b"\r\n") + lines + b"\r\n"
    return None if exchange.take_over(socket, head) is None else socket
