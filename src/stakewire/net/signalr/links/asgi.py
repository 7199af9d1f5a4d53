"""WebSockets and event streams behind an ASGI server, which takes what is sent one `await` at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from math import inf
from typing import Any, cast

from stakewire.net.http import Receive, Send
from stakewire.net.signalr.links.link import Link, LinkOwner
from stakewire.net.signalr.links.posts import PostedLink
from stakewire.net.signalr.links.sse import FIRST_COMMENT
from stakewire.net.signalr.options import SERVER_SENT_EVENTS, WEB_SOCKETS, HubOptions
from stakewire.net.signalr.request import HeaderLines
from stakewire.wire.signalr.protocol import HubProtocol
from stakewire.wire.signalr.shared import Variant

_GRACEFUL = frozenset({1000, 1005})  # RFC 6455 section 7.4.1; 1005 is JavaScript's `close()` without a code
_TOO_BIG = 1009


class Outbox:
    """Frames that wait for the server, and the two tasks of a request that runs until either ends.

    Attributes:
        unsent: bytes that the server has not taken, those that it is just taking included.
    """

    __slots__ = ("_aborted", "_ended", "_frames", "_link", "_owner", "_tasks", "_wake", "unsent")

    def __init__(self, link: Link, owner: LinkOwner) -> None:
        self.unsent = 0
        self._link = link
        self._owner = owner
        self._frames: list[bytes] = []
        self._wake: asyncio.Future[None] | None = None
        self._tasks: tuple[asyncio.Task[bool], ...] = ()
        self._ended = self._aborted = False

    def put(self, frame: bytes) -> None:
        """Send this next; after the end it goes nowhere."""
        if self._ended:
            return
        self._frames.append(frame)
        idle, self.unsent = self.unsent == 0, self.unsent + len(frame)
        self._rouse()
        if idle:
            self._owner.link_busy(self._link)

    def end(self, within: float) -> None:
        """Nothing further is sent; who has not taken the rest `within` so many seconds is cut."""
        if not self._ended:
            self._ended = True
            self._rouse()
            asyncio.get_running_loop().call_later(within, self.abort)

    def abort(self) -> None:
        """Send nothing more, and let the server have the connection back, which then cuts it."""
        self._ended = self._aborted = True
        self._frames.clear()
        for task in self._tasks:
            task.cancel()

    async def take(self) -> bytes:
        """All that waits, joined; empty at the end."""
        while not self._frames:
            if self._ended:
                return b""
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        data = b"".join(self._frames)
        self._frames.clear()
        return data

    def sent(self, size: int) -> None:
        """The server has taken `size` bytes."""
        self.unsent -= size
        if self.unsent == 0:
            self._owner.link_drained(self._link)

    async def run(self, reading: Coroutine[Any, Any, bool], writing: Coroutine[Any, Any, bool]) -> bool:
        """Read and write until either ends; whether the one that ended first says that all is in order."""
        self._tasks = (asyncio.ensure_future(reading), asyncio.ensure_future(writing))
        if self._aborted:
            self.abort()
        try:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            return all(not task.cancelled() and task.exception() is None and task.result() for task in done)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            self._tasks = ()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class AsgiWebSocketLink:
    """One WebSocket; several hub messages that wait travel as one."""

    __slots__ = ("_headers", "_options", "_outbox", "_owner", "_reads", "_text")

    kind = WEB_SOCKETS
    transfer_formats = ("Text", "Binary")
    inherent_keep_alive = False
    transport = None

    def __init__(self, owner: LinkOwner, headers: HeaderLines, options: HubOptions) -> None:
        self._owner = owner
        self._headers = headers
        self._options = options
        self._outbox = Outbox(self, owner)
        self._reads = asyncio.Event()
        self._reads.set()
        self._text = True

    @property
    def busy(self) -> bool:
        """See `Link`."""
        return self._outbox.unsent > 0

    @property
    def unsent(self) -> int:
        """See `Link`; what the server keeps itself, 64 KiB or so, is not counted."""
        return self._outbox.unsent

    def variant(self, protocol: HubProtocol) -> Variant:
        """Plain hub bytes: the server makes the frames, JSON in text and MessagePack in binary ones."""
        self._text = protocol.transfer_format == "Text"
        return Variant.RAW_JSON if self._text else Variant.RAW_MESSAGEPACK

    def send(self, frame: bytes) -> None:
        """See `Link`."""
        self._outbox.put(frame)

    def end(self, code: int) -> None:
        """See `Link`."""
        self._code = code
        self._reads.set()
        self._outbox.end(self._options.close_seconds)

    def abort(self) -> None:
        """See `Link`."""
        self._outbox.abort()

    def pause_reading(self) -> None:
        """See `Link`."""
        self._reads.clear()

    def resume_reading(self) -> None:
        """See `Link`."""
        self._reads.set()

    def look(self, now: float) -> float:
        """Nothing to do: a WebSocket has no deadlines of its own."""
        return inf

    # For the request's task.

    async def run(self, receive: Receive, send: Send) -> None:
        """Accept, then carry messages both ways until the end."""
        clean = False
        try:
            await send({"type": "websocket.accept", "headers": list(self._headers)})
            clean = await self._outbox.run(self._read(receive), self._write(send))
        finally:
            self._owner.link_lost(self, clean=clean)
