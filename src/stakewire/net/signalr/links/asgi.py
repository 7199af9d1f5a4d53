"""WebSockets and event streams behind an ASGI server, which takes what is sent one `await` at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

from stakewire.net.http import Receive, Send
from stakewire.net.signalr.links.link import Link, LinkOwner
from stakewire.net.signalr.links.posts import PostedLink
from stakewire.net.signalr.links.sse import FIRST_COMMENT
from stakewire.net.signalr.options import SERVER_SENT_EVENTS, WEB_SOCKETS, HubOptions
from stakewire.net.signalr.request import HeaderLines
from stakewire.wire.signalr.protocol import HubProtocol
from stakewire.wire.signalr.shared import Variant
from stakewire.wire.websocket.errors import CloseCode


class Outbox:
    """What waits for the server to take it, and the two tasks of a request: one reads, one writes.

    Attributes:
        unsent: bytes that the server has not taken; those that it is just taking count, those that it keeps
            itself (64 KiB or so) do not.
        ended: nothing further is sent.
        emptied: it was ended, and the server has taken everything.
    """

    __slots__ = ("_aborted", "_frames", "_link", "_owner", "_tasks", "_wake", "emptied", "ended", "unsent")

    def __init__(self, link: Link, owner: LinkOwner) -> None:
        self.unsent = 0
        self.ended = self.emptied = False
        self._link = link
        self._owner = owner
        self._frames: list[bytes] = []
        self._wake: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[bool]] = []
        self._aborted = False

    def put(self, frame: bytes) -> None:
        """Send this next; after the end it goes nowhere."""
        if self.ended:
            return
        idle = self.unsent == 0
        self._frames.append(frame)
        self.unsent += len(frame)
        self._rouse()
        if idle:
            self._owner.link_busy(self._link)

    def end(self, within: float) -> None:
        """Nothing further is sent; a client that does not take the rest `within` so many seconds is cut."""
        if not self.ended:
            self.ended = True
            self._rouse()
            asyncio.get_running_loop().call_later(within, self.abort)

    def abort(self) -> None:
        """Send nothing more; the request ends, and the server cuts the connection."""
        self.ended = self._aborted = True
        self._frames.clear()
        for task in self._tasks:
            task.cancel()

    async def take(self) -> bytes:
        """All that waits, joined; empty at the end."""
        while not self._frames:
            if self.ended:
                self.emptied = not self._aborted
                return b""
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        data = b"".join(self._frames)
        self._frames.clear()
        return data

    def taken(self, size: int) -> None:
        """The server has taken `size` bytes."""
        self.unsent -= size
        if self.unsent == 0:
            self._owner.link_drained(self._link)

    async def run(self, reading: Coroutine[Any, Any, bool], writing: Coroutine[Any, Any, bool]) -> bool:
        """Read and write until either ends; what the one that ended first returned, False if it was cut."""
        self._tasks = [asyncio.ensure_future(reading), asyncio.ensure_future(writing)]
        if self._aborted:
            self.abort()
        try:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            return all(not task.cancelled() and task.result() for task in done)
        finally:
            self.ended = True
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks = []

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class AsgiWebSocketLink:
    """One WebSocket; hub messages that wait travel in one WebSocket message."""

    __slots__ = ("_code", "_headers", "_options", "_outbox", "_owner", "_reads", "_text")

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
        self._code = int(CloseCode.NORMAL)

    @property
    def busy(self) -> bool:
        """See `Link`."""
        return self._outbox.unsent > 0

    @property
    def unsent(self) -> int:
        """See `Link`."""
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

    def post(self, body: bytes, answer: Callable[[int], None]) -> bool:
        """See `Link`."""
        return False

    def pause_reading(self) -> None:
        """See `Link`."""
        self._reads.clear()

    def resume_reading(self) -> None:
        """See `Link`."""
        self._reads.set()

    def look(self, now: float) -> float:
        """Nothing to do: a WebSocket has no deadlines of its own."""
        return inf

    async def run(self, receive: Receive, send: Send) -> None:
        """Accept, then carry messages both ways until the end; for the task of the request."""
        clean = False
        try:
            await send({"type": "websocket.accept", "headers": list(self._headers)})
            clean = await self._outbox.run(self._read(receive), self._write(send))
            if self._outbox.emptied:
                # Only now that nobody receives any more: Granian waits for that.
                await send({"type": "websocket.close", "code": self._code})
        finally:
            self._owner.link_lost(self, clean=clean)

    async def _read(self, receive: Receive) -> bool:
        while True:
            await self._reads.wait()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                # Servers say 1005 of connections that were cut, too: only 1000 is surely the client's wish.
                return bool(message.get("code") == CloseCode.NORMAL)
            data = message.get("bytes")
            if data is None:
                data = message["text"].encode()
            if len(data) > self._options.max_batch_bytes:
                self.end(CloseCode.TOO_BIG)
            elif not self._outbox.ended:
                self._owner.receive(bytes(data))

    async def _write(self, send: Send) -> bool:
        try:
            while data := await self._outbox.take():
                if self._text:
                    await send({"type": "websocket.send", "text": data.decode()})
                else:
                    await send({"type": "websocket.send", "bytes": data})
                self._outbox.taken(len(data))
        except OSError:
            pass  # how servers say that the client has gone
        return False


class AsgiEventStreamLink(PostedLink):
    """One event stream."""

    __slots__ = ("_headers", "_options", "_outbox")

    kind = SERVER_SENT_EVENTS
    transfer_formats = ("Text",)
    inherent_keep_alive = False
    transport = None

    def __init__(self, owner: LinkOwner, headers: HeaderLines, options: HubOptions) -> None:
        super().__init__(owner, options.max_waiting_posts)
        self._headers = headers
        self._options = options
        self._outbox = Outbox(self, owner)

    @property
    def busy(self) -> bool:
        """See `Link`."""
        return self._outbox.unsent > 0

    @property
    def unsent(self) -> int:
        """See `Link`."""
        return self._outbox.unsent

    def variant(self, protocol: HubProtocol) -> Variant:
        """See `Link`; only text fits into events."""
        return Variant.SSE_JSON

    def send(self, frame: bytes) -> None:
        """See `Link`."""
        self._outbox.put(frame)

    def end(self, code: int) -> None:
        """See `Link`; an event stream has no word for its end."""
        self.refuse_posts()
        self._outbox.end(self._options.close_seconds)

    def abort(self) -> None:
        """See `Link`."""
        self.refuse_posts()
        self._outbox.abort()

    def look(self, now: float) -> float:
        """Nothing to do: an event stream has no deadlines of its own."""
        return inf

    async def run(self, receive: Receive, send: Send) -> None:
        """Answer, then send events until the end; for the task of the request."""
        clean = False
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(self._headers)})
            clean = await self._outbox.run(until_client_leaves(receive), self._write(send))
        finally:
            self.refuse_posts()
            self._owner.link_lost(self, clean=clean)

    async def _write(self, send: Send) -> bool:
        try:
            await send({"type": "http.response.body", "body": FIRST_COMMENT, "more_body": True})
            while data := await self._outbox.take():
                await send({"type": "http.response.body", "body": data, "more_body": True})
                self._outbox.taken(len(data))
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            pass  # how servers say that the client has gone
        return False


async def until_client_leaves(receive: Receive) -> bool:
    """Wait for the disconnect; always true, since to leave an event stream is how a client ends it."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return True
