"""The short way of a request: one call of a function, one call of its Respond, one write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stakewire.net.http.response import CLOSE, JSON, KEEP_ALIVE_10, error_body

if TYPE_CHECKING:
    from stakewire.net.http.connection import Connection
    from stakewire.net.http.request import Request


class HotExchange(msgspec.Struct, gc=False, eq=False):
    """One hot request and its place among the answers of its connection; `respond` is its Respond.

    Attributes:
        answer: None until there is one; then the bytes to write when its turn comes.
        closes: the connection ends after the answer.

    Without the collector: its connection holds it until the answer or `lost`, which undo the cycle.
    """

    streams = False

    _connection: Connection | None
    _request: Request
    answer: bytes | None = None
    closes: bool = False

    def respond(self, status: int, body: bytes, content_type: bytes = JSON) -> None:
        """See `Respond`."""
        connection = self._connection
        if connection is None:
            return
        if self.answer is not None:
            raise RuntimeError("this request has its answer already")
        request, shared = self._request, connection.shared
        line = b""
        if not request.keep_alive or (shared.stopping and connection.ends_with(self)):
            self.closes = True
            line = CLOSE
        elif request.http_10:
            line = KEEP_ALIVE_10
        if status == 200 and content_type is JSON and not line and request.method != "HEAD":
            self.answer = b"%b%d\r\n\r\n%b" % (shared.heads.json, len(body), body)
        else:
            self.answer = shared.heads.whole(
                status, body, content_type, line, head_only=request.method == "HEAD"
            )
        if connection.queue[0] is self:
            connection.advance()

    def give_up(self, received_until: float) -> bool:
        """Answer 503 if the request came by then; what its handler says later is lost."""
        connection, request = self._connection, self._request
        if connection is None or request.received_at > received_until:
            return False
        request.keep_alive = False
        self.respond(503, error_body("ANSWER_TIMEOUT", "there was no answer in time; its outcome is unknown"))
        self._connection = None
        return True

    def lead(self) -> None:
        """Its turn to answer has come; the handler is at work already."""

    def lost(self) -> None:
        """The client has gone; what the handler still answers goes nowhere."""
        self._connection = None

    def server_stops(self) -> None:
        """The handler finishes its work first."""


class Refusal:
    """An answer that was ready from the start: the request was not fit to be handled."""

    __slots__ = ("answer",)

    closes = True
    streams = False

    def __init__(self, answer: bytes) -> None:
        self.answer: bytes | None = answer

    def lead(self) -> None:
        """Nothing to begin."""

    def lost(self) -> None:
        """Nothing to end."""

    def server_stops(self) -> None:
        """Nothing to end."""
