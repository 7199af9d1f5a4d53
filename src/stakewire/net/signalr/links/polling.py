"""Hub messages as answers to long polls, with POSTs as the way up (TransportProtocols.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from stakewire.net.signalr.links.link import LinkOwner
from stakewire.net.signalr.links.posts import PostedLink
from stakewire.net.signalr.options import LONG_POLLING, HubOptions
from stakewire.wire.signalr.protocol import HubProtocol
from stakewire.wire.signalr.shared import Variant


class Poll(Protocol):
    """One GET that may be answered later; `on_lost` is called if its client goes before."""

    on_lost: Callable[[], None] | None

    def answer(self, status: int, body: bytes) -> None: ...


class PollingLink(PostedLink):
    """Keeps what there is to send until a poll fetches it.

    The first poll is answered at once: it only starts the connection. A later one waits for news, for
    `poll_seconds` at most. The last one is answered 204, which tells the client to stop.
    """

    __slots__ = ("_began", "_ended", "_options", "_poll", "_queue", "_since", "unsent")

    kind = LONG_POLLING
    transfer_formats = ("Text", "Binary")
    inherent_keep_alive = True
    transport = None

    def __init__(self, owner: LinkOwner, options: HubOptions) -> None:
        super().__init__(owner, options.max_waiting_posts)
        self._options = options
        self._queue: list[bytes] = []
        self.unsent = 0
        self._poll: Poll | None = None
        self._since = owner.link_time()  # when the waiting poll came, or when the last one was answered
        self._began = self._ended = False

    @property
    def busy(self) -> bool:
        """See `Link`."""
        return self.unsent > 0

    def variant(self, protocol: HubProtocol) -> Variant:
        """See `Link`."""
        return Variant.POLL_MESSAGEPACK if protocol.transfer_format == "Binary" else Variant.POLL_JSON

    def poll(self, poll: Poll, now: float) -> None:
        """The client asks for news; a poll that still waits is ended, for it has been given up."""
        before, self._poll = self._poll, None
        if before is not None:
            before.on_lost = None
            before.answer(204, b"")
        self._since = now
        if not self._began:
            self._began = True
            poll.answer(200, b"")
            self._owner.link_looks_at(now + self._options.disconnect_seconds)
            return
        poll.on_lost = self._poll_lost
        self._poll = poll
        if self._queue or self._ended:
            self._flush()
        else:
            self._owner.link_looks_at(now + self._options.poll_seconds)

    def send(self, frame: bytes) -> None:
        """See `Link`; what is sent in one turn of the loop travels together."""
        if self._ended:
            return
        self._queue.append(frame)
        self.unsent += len(frame)
        if self._poll is not None and len(self._queue) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def end(self, code: int) -> None:
        """See `Link`: the queue is fetched by one poll, and the next is answered 204."""
        self._ended = True
        self.refuse_posts()
        if self._poll is not None:
            asyncio.get_running_loop().call_soon(self._flush)

    def abort(self) -> None:
        """See `Link`."""
        self._ended = True
        self.refuse_posts()
        self._queue.clear()
        poll, self._poll = self._poll, None
        if poll is not None:
            poll.on_lost = None
            poll.answer(204, b"")

    def look(self, now: float) -> float:
        """End a poll without news, or the connection if nobody polls any more."""
        if self._poll is None:
            limit = self._since + self._options.disconnect_seconds
            if now >= limit and not self._ended:
                self._owner.link_lost(self, clean=False)
            return limit
        limit = self._since + self._options.poll_seconds
        if now < limit:
            return limit
        self._answer(200, b"", now)
        return now + self._options.disconnect_seconds

    def _flush(self) -> None:
        if self._poll is None:
            return
        if self._queue:
            body = b"".join(self._queue)
            self._queue.clear()
            self.unsent = 0
            self._answer(200, body, self._owner.link_time())
            self._owner.link_drained(self)
        elif self._ended:
            self._answer(204, b"", self._owner.link_time())
            self._owner.link_lost(self, clean=True)

    def _answer(self, status: int, body: bytes, now: float) -> None:
        poll, self._poll = self._poll, None
        assert poll is not None
        poll.on_lost = None
        self._since = now
        poll.answer(status, body)
        self._owner.link_looks_at(now + self._options.disconnect_seconds)

    def _poll_lost(self) -> None:
        """The client broke off its poll; it may come again."""
        self._poll = None
        self._since = self._owner.link_time()
        self._owner.link_looks_at(self._since + self._options.disconnect_seconds)
