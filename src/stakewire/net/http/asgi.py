"""The long way of a request: an ASGI app in a task of its own, with streams in both directions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import unquote

import structlog

from stakewire.net.http.request import Request
from stakewire.net.http.response import CLOSE, JSON, KEEP_ALIVE_10, LAST_CHUNK, NO_BODY, error_body
from stakewire.net.http.shared import Message, Scope

if TYPE_CHECKING:
    from stakewire.net.http.connection import Connection

log = structlog.get_logger("stakewire.net.http")

# Version 2.3 on purpose: it makes frameworks listen for the disconnect beside a streamed answer, so
# that a server-sent-events handler ends when its client goes, not when it next has something to send.
_ASGI = {"version": "3.0", "spec_version": "2.3"}

# A whole answer takes two messages; who sends more to a client that has gone streams to nobody.
_SENT_TO_NOBODY = 2


class AsgiExchange:
    """One request of the ASGI app.

    Attributes:
        answer: None until the app has sent all of its own; then empty, or a refusal in its place.
        closes: the connection ends after the answer.
        buffered: bytes of body that the app has not taken yet.
    """

    streams = True

    def __init__(
        self, connection: Connection, transport: asyncio.Transport, request: Request, scheme: str | None
    ) -> None:
        self.answer: bytes | None = None
        self.closes = False
        self.buffered = 0
        self._connection = connection
        self._transport = transport
        self._request = request
        self._scheme = scheme
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._body: list[bytes] = []
        self._body_over = self._body_told = False
        self._gone = False
        self._to_nobody = 0
        self._head: Message | None = None
        self._begun = self._chunked = self._bodiless = self._event_stream = False
        self._left: int | None = None

    # For the connection.

    def lead(self) -> None:
        """Its turn to answer has come: only now the app begins."""
        if self._task is None:
            shared = self._connection.shared
            self._task = shared.loop.create_task(self._run())
            shared.tasks.add(self._task)
            self._task.add_done_callback(shared.tasks.discard)

    def feed(self, data: bytes) -> None:
        """The next piece of the request's body; nobody's any more once the answer is complete."""
        if self.answer is None and not self._gone:
            self._body.append(data)
            self.buffered += len(data)
            self._notify()

    def end(self) -> None:
        """The request's body is complete."""
        self._body_over = True
        self._notify()

    def lost(self) -> None:
        """The client has gone: the app's next receive says so."""
        self._gone = True
        self._body.clear()
        self._notify()

    def refuse(self, answer: bytes) -> bool:
        """Let `answer` take the place of the app's; false if the app's has begun and cannot be taken back."""
        if self.answer is not None:
            return True
        if self._begun:
            return False
        self.answer = answer
        self.closes = True
        self.lost()
        return True

    def server_stops(self) -> None:
        """An event stream never ends by itself and its client comes back by itself: end it now."""
        if self._event_stream:
            self.lost()

    # For the app.

    async def receive(self) -> Message:
        """The next piece of the body, then the disconnect, which the end of the answer looks like too."""
        while True:
            if self._gone or self.answer is not None:
                return {"type": "http.disconnect"}
            if self._body or (self._body_over and not self._body_told):
                body = b"".join(self._body)
                self._body.clear()
                self.buffered = 0
                self._body_told = self._body_over
                self._connection.update_hold()
                return {"type": "http.request", "body": body, "more_body": not self._body_over}
            if self._wake is None or self._wake.done():
                self._wake = self._connection.shared.loop.create_future()
            await asyncio.shield(self._wake)

    async def send(self, message: Message) -> None:
        """Take the head of the answer, then its body in pieces; waits while the client does not read.

        What is sent to a client that has gone leads nowhere, without an error, as ASGI up to 2.3 has it:
        the app learns of that by http.disconnect. One that streams on all the same is cancelled.

        Raises:
            RuntimeError, ValueError: the messages are not what ASGI allows.
        """
        if self._gone:
            await self._send_to_nobody()
            return
        kind = message["type"]
        if kind == "http.response.start":
            if self._head is not None:
                raise RuntimeError("http.response.start was sent already")
            self._head = message
            # The head leaves together with the body if that follows at once, and soon if it does not.
            self._connection.shared.loop.call_soon(self._send_head)
        elif kind == "http.response.body":
            if self._head is None:
                raise RuntimeError("http.response.start comes before http.response.body")
            if self.answer is not None:
                raise RuntimeError("the answer is complete already")
            self._send_body(bytes(message.get("body", b"")), more=bool(message.get("more_body", False)))
            if self._connection.write_paused:
                await self._connection.drained()
        else:
            raise RuntimeError(f"this server does not understand the message {kind}")

    async def _send_to_nobody(self) -> None:
        self._to_nobody += 1
        if self._to_nobody > _SENT_TO_NOBODY and self._task is not None:
            self._task.cancel()
        await asyncio.sleep(0)  # an app that only sends must not keep the loop to itself

    def _send_head(self) -> None:
        if self._begun or self._gone or self.answer is not None:
            return
        try:
            data = self._begin(0, more=True)
        except ValueError:
            return  # the app is told when it sends the body
        self._begun = True
        self._transport.write(data)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        data = b"" if self._begun else self._begin(len(body), more=more)
        self._begun = True
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the body is longer than its content-length")
        if body and not self._bodiless:
            data += b"%x\r\n%b\r\n" % (len(body), body) if self._chunked else body
        if not more:
            if self._left:
                raise RuntimeError("the body is shorter than its content-length")
            if self._chunked and not self._bodiless:
                data += LAST_CHUNK
        if data:
            self._transport.write(data)
        if not more:
            self._finish()

    def _begin(self, size: int, *, more: bool) -> bytes:
        """The head as bytes, with the framing that fits the client and what the app said."""
        assert self._head is not None
        request, status = self._request, int(self._head["status"])
        headers = [(bytes(name).lower(), bytes(value)) for name, value in self._head.get("headers", ())]
        given = dict(headers)
        hop_by_hop = (b"connection", b"transfer-encoding")
        headers = [item for item in headers if item[0] not in hop_by_hop]
        self._event_stream = given.get(b"content-type", b"").startswith(b"text/event-stream")
        self._bodiless = request.method == "HEAD" or status in NO_BODY
        framing = b""
        if b"content-length" in given:
            self._left = None if self._bodiless else int(given[b"content-length"])
        elif status in NO_BODY:
            pass
        elif not more:
            framing = b"content-length: %d\r\n" % size
        elif not request.http_10:
            self._chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        else:
            self.closes = True  # HTTP/1.0 knows the end of a stream by the end of the connection
        if not request.keep_alive or given.get(b"connection", b"").lower() == b"close":
            self.closes = True
        if self._connection.ends_with(self):
            self.closes = True
        if self.closes:
            framing += CLOSE
        elif request.http_10:
            framing += KEEP_ALIVE_10
        return self._connection.shared.heads.streamed(status, headers, framing)

    # The task.

    async def _run(self) -> None:
        try:
            await self._connection.shared.app(self._scope(), self.receive, self.send)
        except Exception:
            if not self._gone:
                log.exception("request failed", method=self._request.method, path=self._request.path)
                self._fail()
        else:
            if self.answer is None and not self._gone:
                log.error("no complete answer", method=self._request.method, path=self._request.path)
                self._fail()
        finally:
            if self.answer is None:
                # Told to stop in the middle of a stream: the missing last chunk tells the client.
                self._connection.abort()

    def _fail(self) -> None:
        if self._begun:
            self._connection.abort()
            return
        body = error_body("INTERNAL_ERROR", "the request could not be handled")
        answer = self._connection.shared.heads.whole(
            500, body, JSON, CLOSE, head_only=self._request.method == "HEAD"
        )
        self.refuse(answer)
        self._connection.advance()

    def _finish(self) -> None:
        self.answer = b""
        self._notify()
        self._connection.advance()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _scope(self) -> Scope:
        request, transport = self._request, self._transport
        shared = self._connection.shared
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        tls = transport.get_extra_info("ssl_object") is not None
        path = unquote(request.path) if "%" in request.path else request.path
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.0" if request.http_10 else "1.1",
            "method": request.method,
            "scheme": self._scheme or ("https" if tls else "http"),
            "path": path,
            "raw_path": request.path.encode("ascii"),
            "query_string": request.query.encode("ascii"),
            "root_path": "",
            "headers": request.headers,
            "client": (request.peer, peer[1]) if isinstance(peer, tuple) else None,
            "server": (local[0], local[1]) if isinstance(local, tuple) else None,
            "state": shared.state.copy(),
        }
