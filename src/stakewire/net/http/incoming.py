"""What arrives on a connection: in slices, for as long as it is welcome, each part within its time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from math import inf

from stakewire.net.http.asgi import AsgiExchange
from stakewire.net.http.direct import DirectExchange
from stakewire.net.http.reader import RequestReader, Upgrade
from stakewire.net.http.request import Request, RequestRefused
from stakewire.net.http.response import CONTINUE
from stakewire.net.http.shared import Exchange, Shared
from stakewire.net.http.takeover import TakenOver

SLICE = 4 * 1024
"""Bytes given to the parser at once: bounds the pipelined requests that it finds before we may stop it."""

AWAIT_REQUEST, IN_HEADER, IN_BODY = range(3)
"""What is arriving."""

OPEN, KEPT, OVER = range(3)
"""What becomes of further bytes: they are read, kept until it is known whose they are, or nobody's."""

_DISCARDED_AT_MOST = 1024 * 1024


class Incoming(asyncio.Protocol, ABC):
    """The reading half of a connection; `Connection` is the other half.

    Attributes:
        shared: what it has in common with the server's other connections.
        queue: requests without a written answer, oldest first.
        write_paused: the client does not read its answers fast enough.
        read_deadline, write_deadline: when the sweep ends it, on the monotonic clock; inf for never.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.queue: deque[Exchange] = deque()
        self.write_paused = False
        self.read_deadline = self.write_deadline = inf
        self._monotonic = shared.clock.monotonic
        self._reader = RequestReader(self, shared.limits)
        self._transport: asyncio.Transport | None = None
        self._now = 0.0
        self._out: list[bytes] = []
        self._backlog = b""
        self._stage = AWAIT_REQUEST
        self._reading = self._held = False
        self._input = OPEN
        self._discarded = 0
        self._owes_continue = False
        self._arriving: AsgiExchange | DirectExchange | None = None  # its body, if it is not a hot request's
        self._heir: TakenOver | None = None
        self._drained: list[asyncio.Future[None]] = []

    # What the other half does; the first three are told by the reader (RequestSink).

    @abstractmethod
    def begin(self, request: Request) -> int: ...
    @abstractmethod
    def part(self, data: bytes) -> None: ...
    @abstractmethod
    def end(self) -> None: ...
    @abstractmethod
    def _refuse(self, refused: RequestRefused) -> None: ...
    @abstractmethod
    def _flush(self, now: float) -> None: ...

    # The transport's side.

    def data_received(self, data: bytes) -> None:
        if self._input:
            self._set_aside(data)
        elif self._backlog or len(data) > SLICE:
            self._backlog += data
            self._read_backlog()
        else:
            self._read(data)

    def pause_writing(self) -> None:
        self.write_paused = True
        self.write_deadline = self._monotonic() + self.shared.limits.write_stall_seconds
        self.update_hold()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.write_deadline = inf
        self._wake_writers()
        self.update_hold()

    # Reading.

    def _read(self, data: bytes) -> None:
        now = self._now = self._monotonic()
        reader = self._reader
        self._reading = True
        try:
            reader.feed(data)
        except RequestRefused as refused:
            self._refuse(refused)
        except Upgrade as upgrade:
            self._behind_upgrade(upgrade.rest)
        self._reading = False
        if self._out:
            self._flush(now)
        if reader.mid_message:
            self._watch(now)
        elif self.queue:
            self._stage = AWAIT_REQUEST
            self.read_deadline = inf
            if len(self.queue) >= self.shared.limits.pipelined:
                self.update_hold()

    def _read_backlog(self) -> None:
        data, self._backlog = self._backlog, b""
        for start in range(0, len(data), SLICE):
            if self._held or self._input or self._backlog:
                rest = data[start:]
                if self._input:
                    self._set_aside(rest)
                else:
                    self._backlog += rest
                return
            self._read(data[start : start + SLICE])

    def _watch(self, now: float) -> None:
        """A request is arriving: its header, then its body, have their time from the first byte on."""
        stage = IN_HEADER if self._reader.in_header else IN_BODY
        if stage != self._stage:
            self._stage = stage
            limits = self.shared.limits
            self.read_deadline = now + (limits.header_seconds if stage == IN_HEADER else limits.body_seconds)
        if self._owes_continue:
            self._say_continue()
        self.update_hold()

    def _say_continue(self) -> None:
        """Ask for the body, unless answers of earlier requests have to be written before."""
        if self._reader.in_header or self._transport is None:
            return
        if not self.queue or self.queue[0] is self._arriving:
            self._owes_continue = False
            self._transport.write(CONTINUE)

    def _behind_upgrade(self, rest: bytes) -> None:
        """A request to upgrade is complete: what follows it is HTTP only if it has a usual answer."""
        if self._heir is not None:
            if rest:
                self._heir.data_received(rest)
            return
        self._backlog = rest
        last = self.queue[-1] if self.queue else None
        if isinstance(last, DirectExchange) and last.answer is None:
            self._input = KEPT
        elif rest:
            self.shared.loop.call_soon(self._read_backlog)

    def read_on(self) -> None:
        """The request to upgrade was answered: what came behind it are requests."""
        if self._input == KEPT:
            self._input = OPEN
            if self._held:
                self.update_hold()
            elif self._backlog:
                self.shared.loop.call_soon(self._read_backlog)

    def _set_aside(self, data: bytes) -> None:
        if self._input == KEPT:
            self._backlog += data
            self.update_hold()
            return
        if self._heir is not None:
            self._heir.data_received(data)
            return
        self._discarded += len(data)
        if self._discarded > _DISCARDED_AT_MOST and self._transport is not None:
            self._transport.abort()

    def update_hold(self) -> None:
        """Stop or go on reading: nothing that the client sends may pile up here."""
        transport = self._transport
        if transport is None:
            return
        limits = self.shared.limits
        hold = (
            self.write_paused
            or len(self.queue) >= limits.pipelined
            or (self._arriving is not None and self._arriving.buffered > limits.body_buffer_bytes)
            or (self._input == KEPT and len(self._backlog) > limits.body_buffer_bytes)
        )
        if hold == self._held or transport.is_closing():
            return
        self._held = hold
        if hold:
            self.read_deadline = inf
            transport.pause_reading()
            return
        if self._stage != AWAIT_REQUEST:
            self.read_deadline = self._monotonic() + limits.body_seconds
        transport.resume_reading()
        if self._backlog and self._input != KEPT:
            self.shared.loop.call_soon(self._read_backlog)

    # For exchanges that stream.

    async def drained(self) -> None:
        """Wait until the client has read enough of what was written, or is gone."""
        while self.write_paused and self._transport is not None:
            waiter = self.shared.loop.create_future()
            self._drained.append(waiter)
            await waiter

    def _wake_writers(self) -> None:
        waiters, self._drained = self._drained, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
