"""What goes on for one connection: calls that run or wait, streams, results that are awaited from it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stakewire.net.signalr.clients import InvokeFailed
from stakewire.net.signalr.methods import HubMethod
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.streams import ClientStream, ServerStream, StreamFailed
from stakewire.wire.signalr.errors import BadArgument
from stakewire.wire.signalr.messages import NOTHING, Completion, Invocation, StreamItem

if TYPE_CHECKING:
    from stakewire.net.signalr.connection import HubConnection


class Session:
    """Exists only while something goes on, so that an idle connection costs nothing here.

    Attributes:
        running: plain invocations at work.
        beside: calls at work that need no turn, since they stream.
        waiting: plain invocations whose turn has not come, in order of arrival.
        streams: streaming methods at work, by invocation id.
        uploads: streams from the client, by stream id.
        results: what the client was asked for, by invocation id of ours.
        tasks: everything that runs for the connection.
    """

    __slots__ = (
        *("_crowd", "_crowded", "_holds", "beside", "connection", "results", "running", "streams", "tasks"),
        *("uploads", "waiting"),
    )

    def __init__(self, connection: HubConnection, max_waiting: int) -> None:
        self.connection = connection
        self.running = self.beside = 0
        self.waiting: deque[tuple[HubMethod, Invocation]] = deque()
        self.streams: dict[str, ServerStream] = {}
        self.uploads: dict[str, ClientStream] = {}
        self.results: dict[str, AwaitedResult] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self._holds = 0
        self._crowd = max_waiting
        self._crowded = False

    @property
    def idle(self) -> bool:
        """Nothing goes on."""
        return not (self.tasks or self.waiting or self.results)

    def hold(self, hold: bool) -> None:
        """Stop reading from the client while anybody wants it stopped."""
        self._holds += 1 if hold else -1
        if self._holds == (1 if hold else 0):
            self.connection.hold_reading(hold)

    def wait(self, method: HubMethod, message: Invocation) -> None:
        """Queue a call; at `max_waiting` reading is held, so that only what was read already can follow."""
        self.waiting.append((method, message))
        if not self._crowded and len(self.waiting) >= self._crowd:
            self._crowded = True
            self.hold(True)

    def next(self) -> tuple[HubMethod, Invocation] | None:
        """The call whose turn it is, if one waits."""
        if not self.waiting:
            return None
        call = self.waiting.popleft()
        if self._crowded and len(self.waiting) <= self._crowd // 2:
            self._crowded = False
            self.hold(False)
        return call

    def open_upload(self, stream_id: str, kind: Any) -> ClientStream:
        """A stream that the client is about to send."""
        protocol = self.connection.protocol
        stream = ClientStream(lambda raw: protocol.decode(raw, kind), self.hold)
        self.uploads[stream_id] = stream
        return stream

    def close_uploads(self, stream_ids: tuple[str, ...]) -> None:
        """The method that read them has ended; what still comes for them is ignored."""
        for stream_id in stream_ids:
            stream = self.uploads.pop(stream_id, None)
            if stream is not None:
                stream.drop()

    def take_item(self, message: StreamItem) -> None:
        """An item of a client's stream; of an unknown one it is late, and ignored."""
        stream = self.uploads.get(message.invocation_id)
        if stream is not None:
            stream.feed(message.item)

    def take_completion(self, message: Completion) -> None:
        """The end of a client's stream, or a result that the client was asked for."""
        stream = self.uploads.get(message.invocation_id)
        if stream is not None:
            stream.end(None if message.error is None else StreamFailed(message.error))
            return
        awaited = self.results.get(message.invocation_id)
        if awaited is not None:
            awaited.settle(message, self.connection.protocol.decode)

    def end(self) -> list[asyncio.Task[None]]:
        """The connection is gone: stop streams, forget what waits; what is left are the calls that run."""
        self.waiting.clear()
        for stream in self.streams.values():
            stream.cancel()
        for upload in self.uploads.values():
            upload.end(StreamFailed("the connection has ended"))
        for awaited in self.results.values():
            awaited.fail(InvokeFailed("the connection ended before the result", code="CONNECTION_GONE"))
        return list(self.tasks)


class AwaitedResult:
    """The result of one call of a client's method."""

    __slots__ = ("future", "kind")

    def __init__(self, kind: Any) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.kind = kind

    def settle(self, message: Completion, decode: Callable[[Any, Any], Any]) -> None:
        """Take the client's answer, decoded as the type that was asked for."""
        if message.error is not None:
            self.fail(InvokeFailed(message.error, code="CLIENT_ERROR"))
            return
        try:
            if message.result is not NOTHING:
                value = decode(message.result, self.kind)
            elif self.kind in (type(None), Any):
                value = None
            else:
                raise BadArgument("the client's method gave nothing")
        except BadArgument as error:
            self.fail(InvokeFailed(f"the result is of another type: {error}", code="WRONG_RESULT"))
            return
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: InvokeFailed) -> None:
        """There will be no result."""
        if not self.future.done():
            self.future.set_exception(error)


class Sessions:
    """The sessions of all connections that have something going on."""

    def __init__(self, options: HubOptions) -> None:
        self.connecting: set[HubConnection] = set()
        self._options = options
        self._sessions: dict[HubConnection, Session] = {}
        self._asked = 0

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return sum(len(session.waiting) for session in self._sessions.values())

    def of(self, connection: HubConnection) -> Session:
        """The connection's session, a new one if there is none."""
        session = self._sessions.get(connection)
        if session is None:
            session = Session(connection, self._options.max_waiting_invocations)
            self._sessions[connection] = session
        return session

    def find(self, connection: HubConnection) -> Session | None:
        """The connection's session, if something goes on."""
        return self._sessions.get(connection)

    def release(self, session: Session) -> None:
        """Forget a session in which nothing goes on any more."""
        if session.idle and self._sessions.get(session.connection) is session:
            del self._sessions[session.connection]

    async def ask(
        self,
        connection: HubConnection,
        target: str,
        arguments: Sequence[Any],
        kind: Any,
        timeout: float | None,
    ) -> Any:
        """Call a client's method and wait for its result (section "Client results").

        Raises:
            InvokeFailed: see there.
        """
        if connection in self.connecting:
            raise InvokeFailed(
                "on_connected cannot wait for the client: it is heard when on_connected has returned",
                code="CONNECTING",
            )
        session = self.of(connection)
        if len(session.results) >= self._options.max_client_results:
            raise InvokeFailed("too many calls wait for this client's results", code="TOO_MANY_CALLS")
        self._asked += 1
        invocation_id, awaited = str(self._asked), AwaitedResult(kind)
        session.results[invocation_id] = awaited
        try:
            connection.send(Invocation(target, list(arguments), invocation_id))
            async with asyncio.timeout(self._options.client_result_seconds if timeout is None else timeout):
                return await awaited.future
        except TimeoutError:
            raise InvokeFailed(
                f"the client gave no result of {target!r} in time", code="CLIENT_TIMED_OUT"
            ) from None
        finally:
            del session.results[invocation_id]
            self.release(session)
