"""A request answered without an app: now or later, with headers of one's own, or by another protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from stakewire.net.http.request import Request
from stakewire.net.http.response import CLOSE, JSON, KEEP_ALIVE_10, NO_BODY, error_body
from stakewire.net.http.takeover import TakenOver

if TYPE_CHECKING:
    from stakewire.net.http.connection import Connection
    from stakewire.net.http.shared import DirectHandler

log = structlog.get_logger("stakewire.net.http")


class DirectExchange:
    """One request of a direct route; its handler runs when the body is complete and its turn has come.

    Attributes:
        on_lost: called once if the client goes before there is an answer.
        answer: None until there is one; then the bytes to write.
        closes: the connection ends after the answer.
    """

    __slots__ = ("_connection", "_handler", "_leads", "_parts", "_request", "answer", "closes", "on_lost")

    streams = True
    buffered = 0

    def __init__(self, connection: Connection, request: Request, handler: DirectHandler) -> None:
        self.on_lost: Callable[[], None] | None = None
        self.answer: bytes | None = None
        self.closes = False
        self._connection: Connection | None = connection
        self._request = request
        self._handler = handler
        self._parts: list[bytes] | None = []
        self._leads = False

    # For the handler.

    def respond(
        self,
        status: int,
        body: bytes,
        content_type: bytes = JSON,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Answer, now or later, exactly once; after the client has gone it does nothing.

        Raises:
            RuntimeError: there is an answer already, or the connection was taken over.
            ValueError: a header that cannot be sent.
        """
        connection = self._unanswered()
        if connection is None:
            return
        closes = not self._request.keep_alive or connection.ends_with(self)
        framing = b""
        if status not in NO_BODY:
            framing = b"content-type: %b\r\ncontent-length: %d\r\n" % (content_type, len(body))
        if closes:
            framing += CLOSE
        elif self._request.http_10:
            framing += KEEP_ALIVE_10
        head = connection.shared.heads.streamed(status, headers, framing)
        silent = status in NO_BODY or self._request.method == "HEAD"
        self._answer(head if silent else head + body, closes=closes)

    def take_over(self, protocol: TakenOver, head: bytes) -> asyncio.Transport | None:
        """Write `head` (101, or that of an event stream) and let `protocol` have the connection.

        The order of its calls: `connection_made` from inside here, then `data_received` for what the client
        sent behind a request to upgrade (later, never from inside here), then whatever the transport calls.
        What was pipelined behind any other request is dropped: such an answer has no end.

        Returns:
            The transport; None if the client has gone, or the server stops (which it was told: 503).

        Raises:
            RuntimeError: there is an answer already, or the connection was taken over.
        """
        connection = self._unanswered()
        if connection is None:
            return None
        if connection.shared.stopping:
            self.respond(503, error_body("STOPPING", "this server is going down; try again"))
            return None
        self._connection = None
        self.answer = b""
        return connection.hand_over(protocol, head)

    def _unanswered(self) -> Connection | None:
        if self.answer is not None:
            raise RuntimeError("this request has its answer already")
        return self._connection

    def _answer(self, answer: bytes, *, closes: bool) -> None:
        connection = self._connection
        assert connection is not None
        self._connection = None
        self.answer, self.closes = answer, closes
        if connection.queue[0] is self:
            connection.advance()
            connection.read_on()

    # For the connection.

    def feed(self, data: bytes) -> None:
        """The next piece of the request's body."""
        if self._parts is not None:
            self._parts.append(data)

    def end(self) -> None:
        """The request's body is complete."""
        if self._parts is not None:
            self._request.body = b"".join(self._parts)
            self._parts = None
            self._begin()

    def lead(self) -> None:
        """Its turn to answer has come."""
        if not self._leads:
            self._leads = True
            self._begin()

    def _begin(self) -> None:
        if not self._leads or self._parts is not None or self._connection is None:
            return
        try:
            self._handler(self._request, self)
        except Exception:
            log.exception("direct handler failed", path=self._request.path)
            if self.answer is None:
                self.respond(500, error_body("INTERNAL_ERROR", "the request could not be handled"))

    def lost(self) -> None:
        """The client has gone; what is still answered goes nowhere."""
        if self._connection is None:
            return
        self._connection = None
        tell, self.on_lost = self.on_lost, None
        if tell is None:
            return
        try:
            tell()
        except Exception:
            log.exception("direct handler failed", path=self._request.path)

    def refuse(self, answer: bytes) -> bool:
        """Let `answer` stand in for the handler's, which is not called: the body broke a rule."""
        self._connection = None
        self.answer, self.closes = answer, True
        return True

    def server_stops(self) -> None:
        """The owner of the handler ends what waits."""
