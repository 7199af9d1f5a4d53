"""The WebSocket transport: JSON in text messages, MessagePack in binary ones."""

from __future__ import annotations

import asyncio
from typing import Literal

import aiohttp

from stakewire.client.signalr.links.base import HttpRefused, LinkEnded
from stakewire.client.signalr.links.http import NETWORK_ERRORS, HubHttp, describe

_NORMAL = 1000
_GOING = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)


class WebSocketLink:
    """See `Link`."""

    inherent_keep_alive = False
    duplex = True

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse[Literal[False]], *, binary: bool, send_seconds: float
    ) -> None:
        self._socket = socket
        self._opcode = aiohttp.WSMsgType.BINARY if binary else aiohttp.WSMsgType.TEXT
        self._send_seconds = send_seconds

    async def send(self, data: bytes) -> None:
        """See `Link.send`; a server that takes nothing for the server timeout is gone."""
        try:
            async with asyncio.timeout(self._send_seconds):
                await self._socket.send_frame(data, self._opcode)
        except NETWORK_ERRORS as error:
            raise LinkEnded(f"the WebSocket broke while sending ({describe(error)})") from error

    async def receive(self) -> bytes:
        """See `Link.receive`."""
        while True:
            message = await self._socket.receive()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                if message.data:
                    data: bytes = message.data
                    return data
            elif message.type is aiohttp.WSMsgType.CLOSE:
                code, reason = message.data, message.extra
                raise LinkEnded(
                    f"the server closed the WebSocket with {code}{f' ({reason})' if reason else ''}",
                    clean=code == _NORMAL,
                )
            elif message.type is aiohttp.WSMsgType.ERROR:
                raise LinkEnded(f"the WebSocket failed: {message.data}")
            elif message.type in _GOING:
                raise LinkEnded("the WebSocket's connection was lost")

    async def close(self) -> None:
        """See `Link.close`."""
        await self._socket.close(code=_NORMAL)

    def abort(self) -> None:
        """See `Link.abort`."""
        connection = self._socket._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()


async def open_websocket(
    http: HubHttp,
    connection_token: str | None,
    *,
    binary: bool,
    compression: bool,
    max_message_bytes: int,
    send_seconds: float,
    close_seconds: float,
) -> WebSocketLink:
    """Upgrade; with `connection_token` None the upgrade itself makes the connection.

    Raises:
        HttpRefused: the server answered something else than 101.
        aiohttp.ClientError, TimeoutError, OSError: there was no answer, or none that is HTTP.
    """
    address = http.address() if connection_token is None else http.address(id=connection_token)
    try:
        async with asyncio.timeout(http.timeout.total):
            socket = await http.session.ws_connect(
                address,
                headers=http.headers(),
                timeout=aiohttp.ClientWSTimeout(ws_close=close_seconds),
                compress=15 if compression else 0,
                max_msg_size=max_message_bytes,
                decode_text=False,
            )
    except aiohttp.WSServerHandshakeError as error:
        raise HttpRefused("the WebSocket upgrade", error.status) from None
    return WebSocketLink(socket, binary=binary, send_seconds=send_seconds)
