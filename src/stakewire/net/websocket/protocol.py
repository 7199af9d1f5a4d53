"""One open WebSocket on a connection taken over from HTTP (RFC 6455 sections 5 to 7)."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from stakewire.net.http import TakenOver
from stakewire.wire.websocket.errors import CloseCode, WebSocketError
from stakewire.wire.websocket.frames import (
    PONG,
    Binary,
    CloseFrame,
    Event,
    FrameReader,
    PingFrame,
    Text,
    close_frame,
    server_frame,
)

_OPEN, _CLOSING, _CLOSED = range(3)
# Our Close frame is on its way in _CLOSING, and the peer's is awaited; in _CLOSED nothing is read any more.


class WebSocketOwner(Protocol):
    """Who is told of an open WebSocket; none of these may block, and none raises."""

    def on_message(self, data: bytes, is_text: bool) -> None:
        """One whole message; text is UTF-8, checked."""

    def on_busy(self) -> None:
        """The peer does not read fast enough: from here on bytes wait in this process."""

    def on_drained(self) -> None:
        """No byte waits any more."""

    def on_closed(self, clean: bool, code: int) -> None:
        """The WebSocket has ended: told once, and not at all after `abort`.

        `clean` if the peer sent a Close frame. `code` is the peer's (1005: it gave none), or what we told
        it about the rule that it broke, or 1006 if the connection ended without a word.
        """


class WebSocketProtocol(TakenOver):
    """Reads frames and tells its owner of messages; answers pings; closes in order, and within a bound.

    Small, since there may be ten thousand; it has a timer only while it closes.

    Attributes:
        transport: for those who write the same frame to many: `transport.write(frame)` instead of `send_raw`
            is legal while the WebSocket is open.
        busy: bytes wait here that the socket has not taken. Under TLS the first 64 KiB are not noticed.
        compressed: permessage-deflate was agreed on: frames with RSV1 may be sent.
    """

    __slots__ = (
        "_close_seconds",
        "_owner",
        "_pong",
        "_reader",
        "_state",
        "_timer",
        "busy",
        "compressed",
        "transport",
    )

    def __init__(
        self, owner: WebSocketOwner, reader: FrameReader, *, compressed: bool, close_seconds: float
    ) -> None:
        self.transport = cast(asyncio.Transport, None)  # there from `connection_made` on, which is at once
        self.busy = False
        self.compressed = compressed
        self._owner: WebSocketOwner | None = owner
        self._reader: FrameReader | None = reader
        self._close_seconds = close_seconds
        self._state = _OPEN
        self._pong: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None

    # For the owner.

    @property
    def unsent(self) -> int:
        """Bytes that wait in this process; what the kernel holds is bounded by the server's limits."""
        return self.transport.get_write_buffer_size()

    def send_raw(self, frame: bytes) -> None:
        """Send a frame that is ready; after the end it goes nowhere."""
        if self._state == _OPEN:
            self.transport.write(frame)

    def close(self, code: int, reason: str = "") -> None:
        """Send what waits and a Close frame; the owner is told when the peer answers, or its time is over."""
        if self._state == _OPEN:
            self._say_close(code, reason)
            if not self.transport.is_reading():
                self.transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection now, without a word to the owner."""
        self._owner = None
        self.transport.abort()

    def pause_reading(self) -> None:
        """Take nothing further from the peer; pings are not answered meanwhile."""
        if self._state == _OPEN:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take from the peer again."""
        if self._state == _OPEN:
            self.transport.resume_reading()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            return
        try:
            events = reader.feed(data)
        except WebSocketError as error:
            self._fail(error)
            return
        for event in events:
            self._take(event)

    def eof_received(self) -> bool:
        """A peer that ends its half has left: it could not even answer a ping."""
        if self._state != _CLOSED:
            self.transport.abort()
        return False

    def pause_writing(self) -> None:
        self.busy = True
        if self._owner is not None:
            self._owner.on_busy()

    def resume_writing(self) -> None:
        self.busy = False
        pong, self._pong = self._pong, None
        if pong is not None:
            self.send_raw(server_frame(PONG, pong))
        if self._owner is not None and not self.busy:
            self._owner.on_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._state = _CLOSED
        self._reader = None
        if self._timer is not None:
            self._timer.cancel()
        self._tell_closed(False, CloseCode.ABNORMAL)

    # Inside.

    def _take(self, event: Event) -> None:
        if isinstance(event, CloseFrame):
            self._peer_closes(event.code)
        elif self._state != _OPEN or self._owner is None:
            return
        elif isinstance(event, Text | Binary):
            self._owner.on_message(event.data, isinstance(event, Text))
        elif isinstance(event, PingFrame):
            self._answer_ping(event.data)

    def _answer_ping(self, data: bytes) -> None:
        """One answer to the newest suffices (section 5.5.3), so that pings cannot pile up answers."""
        if self.busy:
            self._pong = data
        else:
            self.transport.write(server_frame(PONG, data))

    def _peer_closes(self, code: int) -> None:
        if self._state == _OPEN:
            self._say_close(CloseCode.NORMAL if code == CloseCode.NO_STATUS else code, "")
        self._state = _CLOSED
        self._reader = None
        self.transport.close()
        self._tell_closed(True, code)

    def _fail(self, error: WebSocketError) -> None:
        """Say why and end our half; to close over bytes still coming could destroy the Close frame."""
        if self._state == _OPEN:
            self._say_close(error.close_code, error.message)
        self._state = _CLOSED
        self._reader = None
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._tell_closed(False, error.close_code)

    def _say_close(self, code: int, reason: str) -> None:
        self._state = _CLOSING
        self.transport.write(close_frame(code, reason))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._close_seconds, self.transport.abort)

    def _tell_closed(self, clean: bool, code: int) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.on_closed(clean, code)
