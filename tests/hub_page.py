"""A page at a hub, as its browser talks: JSON over one WebSocket, without negotiation."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

END = "\x1e"
SECONDS = 20


class HubPage:
    """What the hub says to one page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._came: deque[dict[str, Any]] = deque()

    async def next(self) -> tuple[str, Any]:
        """The next message: its target and its argument."""
        while True:
            said = await self._said()
            if said["type"] == 1:
                [argument] = said["arguments"]
                return said["target"], argument

    async def until(self, target: str) -> Any:
        """The argument of the next message with this target."""
        while True:
            name, argument = await self.next()
            if name == target:
                return argument

    async def close_message(self) -> dict[str, Any]:
        """What the hub says before it ends the connection."""
        while (said := await self._said())["type"] != 7:
            pass
        return said

    async def _said(self) -> dict[str, Any]:
        while not self._came:
            text = await self._socket.receive_str(timeout=SECONDS)
            self._came.extend(json.loads(record) for record in text.split(END)[:-1])
        return self._came.popleft()

    async def shake_hands(self) -> None:
        await self._socket.send_str(json.dumps({"protocol": "json", "version": 1}) + END)
        async with asyncio.timeout(SECONDS):
            answer, _, rest = (await self._socket.receive_str()).partition(END)
        assert json.loads(answer) == {}
        self._came.extend(json.loads(record) for record in rest.split(END)[:-1])


@asynccontextmanager
async def hub_page(
    http: aiohttp.ClientSession, url: str, *, headers: Mapping[str, str]
) -> AsyncIterator[HubPage]:
    """An open page; aiohttp raises WSServerHandshakeError with the status of a refusal."""
    async with http.ws_connect(url, headers=headers) as socket:
        page = HubPage(socket)
        await page.shake_hands()
        yield page
