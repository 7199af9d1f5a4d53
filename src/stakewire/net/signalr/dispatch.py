"""From messages to hub methods, and from their results back to messages (section "Hub messages")."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from stakewire.net.signalr.calls import WrongCall, error_text, unknown_method, wrong_kind
from stakewire.net.signalr.clients import Post
from stakewire.net.signalr.connection import HubConnection
from stakewire.net.signalr.filters import Filter
from stakewire.net.signalr.groups import Groups, Members
from stakewire.net.signalr.hub import Hub, HubError
from stakewire.net.signalr.invoker import Invoker
from stakewire.net.signalr.methods import HubMethod, describe_hub
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.session import Session, Sessions
from stakewire.net.signalr.streams import ClientStream, ServerStream, send_items
from stakewire.wire.signalr.messages import (
    CancelInvocation,
    Completion,
    HubMessage,
    Invocation,
    StreamInvocation,
    StreamItem,
)

log = structlog.get_logger("stakewire.net.signalr")


H = TypeVar("H", bound=Hub)


class HubDispatcher(Generic[H]):
    """The `Dispatcher` of one hub class: plain calls in turn, streams beside them.

    A task exists only while a call runs. `filters` go around every call, the first one outermost.
    """

    def __init__(
        self,
        hub: type[H],
        *,
        options: HubOptions,
        members: Members,
        sessions: Sessions,
        post: Post,
        groups: Groups,
        provide: Callable[[type[H]], H],
        filters: Sequence[Filter] = (),
    ) -> None:
        """Read the hub class.

        Raises:
            ConfigError: a method of the hub cannot be offered to clients.
        """
        self.description = describe_hub(hub)
        self._methods = self.description.lookup()
        self._options = options
        self._members = members
        self._sessions = sessions
        self._tasks: set[asyncio.Task[None]] = set()
        self._invoker = Invoker(
            hub,
            provide=provide,
            policies=self.description.policies,
            filters=filters,
            post=post,
            groups=groups,
            detailed_errors=options.detailed_errors,
        )

    # What the endpoint calls.

    def connected(self, connection: HubConnection) -> Awaitable[None] | None:
        """The connection can be reached from now on, unless its hub refuses it."""
        if self._invoker.cares_for_connect:
            return self._connect(connection)
        self._members.add(connection)
        return None

    def message(self, connection: HubConnection, message: HubMessage) -> None:
        """Take one message, in order of arrival; never waits."""
        session = self._sessions.of(connection)
        match message:
            case Invocation():
                self._take_invocation(session, message)
            case StreamItem():
                session.take_item(message)
            case Completion():
                session.take_completion(message)
            case StreamInvocation():
                self._take_stream_invocation(session, message)
            case CancelInvocation():
                stream = session.streams.get(message.invocation_id)
                if stream is not None:
                    stream.cancel()
        self._sessions.release(session)

    def disconnected(self, connection: HubConnection, error: str | None) -> Awaitable[None] | None:
        """Memberships and streams end now; `on_disconnected` comes when the last running call has ended."""
        was_member = self._members.remove(connection)
        session = self._sessions.find(connection)
        running = [] if session is None else session.end()
        if was_member and self._invoker.cares_for_disconnect:
            return self._disconnect(connection, error, running)
        return None

    async def stop(self, grace_seconds: float) -> None:
        """Let the calls that run come to their end, and cancel what is left after `grace_seconds`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # Connections.

    async def _connect(self, connection: HubConnection) -> None:
        self._sessions.connecting.add(connection)
        taken = False
        try:
            taken = await self._invoker.connect(connection, self._members.add)
        finally:
            self._sessions.connecting.discard(connection)
            if not taken:
                self._members.remove(connection)

    async def _disconnect(
        self, connection: HubConnection, error: str | None, running: Sequence[asyncio.Task[None]]
    ) -> None:
        if running:
            await asyncio.wait(running)
        await self._invoker.disconnect(connection, error)

    # Calls.

    def _take_invocation(self, session: Session, message: Invocation) -> None:
        method = self._find(session, message)
        if method is None:
            return
        if method.streams:
            uploads = self._open_uploads(session, method, message)
            if uploads is not None:
                self._start(session, self._invoke_beside(session, method, message, uploads))
        elif session.running >= self._options.max_parallel_invocations:
            session.wait(method, message)
        else:
            session.running += 1
            self._start(session, self._invoke_in_turn(session, method, message))

    def _take_stream_invocation(self, session: Session, message: StreamInvocation) -> None:
        method = self._find(session, message)
        if method is None:
            return
        if message.invocation_id in session.streams:
            self._refuse(session, message, f"Invocation ID '{message.invocation_id}' is already in use.")
            return
        uploads = self._open_uploads(session, method, message)
        if uploads is not None:
            stream = session.streams[message.invocation_id] = ServerStream()
            self._start(session, self._stream(session, method, message, uploads, stream))

    def _find(self, session: Session, message: Invocation | StreamInvocation) -> HubMethod | None:
        """The method, if there is one and it is of the kind that was asked for."""
        method = self._methods.get(message.target.lower())
        if method is None:
            self._refuse(session, message, unknown_method(message.target))
            return None
        if method.streaming is not isinstance(message, StreamInvocation):
            self._refuse(session, message, wrong_kind(method))
            return None
        return method

    def _open_uploads(
        self, session: Session, method: HubMethod, message: Invocation | StreamInvocation
    ) -> list[ClientStream] | None:
        """The client streams of a call, at once, since their items follow it; None if it is refused."""
        if session.beside >= self._options.max_streams:
            self._refuse(session, message, error_text(method, HubError("Too many streams."), detailed=False))
            return None
        ids = message.stream_ids
        if len(ids) != len(method.streams) or len({*ids} - session.uploads.keys()) < len(ids):
            wrong = WrongCall(f"The target expects {len(method.streams)} stream(s) with ids not in use.")
            self._refuse(session, message, self._invoker.told(session.connection, method, wrong))
            return None
        session.beside += 1
        return [session.open_upload(name, p.type) for name, p in zip(ids, method.streams, strict=True)]

    async def _invoke_in_turn(self, session: Session, method: HubMethod, message: Invocation) -> None:
        """A call, and then the ones that came meanwhile: a busy connection needs no task for each.

        While they run the client need not ping, as in .NET; streams, which may last for ever, do not
        excuse it.
        """
        session.connection.method_started()
        try:
            call: tuple[HubMethod, Invocation] | None = (method, message)
            while call is not None:
                await self._invoke(session, *call, ())
                call = session.next()
        finally:
            session.running -= 1
            session.connection.method_ended()

    async def _invoke_beside(
        self, session: Session, method: HubMethod, message: Invocation, uploads: Sequence[ClientStream]
    ) -> None:
        try:
            await self._invoke(session, method, message, uploads)
        finally:
            session.beside -= 1
            session.close_uploads(message.stream_ids)

    async def _invoke(
        self, session: Session, method: HubMethod, message: Invocation, uploads: Sequence[ClientStream]
    ) -> None:
        error, result = None, None
        try:
            result = await self._invoker.call(session.connection, method, message, uploads)
        except Exception as failure:
            error = self._invoker.told(session.connection, method, failure)
        if message.invocation_id is None:
            return
        if error is None:
            try:
                session.connection.send(Completion(message.invocation_id, result))
            except Exception as failure:  # the result cannot be encoded
                error = self._invoker.told(session.connection, method, failure)
        if error is not None:
            session.connection.send(Completion(message.invocation_id, error=error))

    async def _stream(
        self,
        session: Session,
        method: HubMethod,
        message: StreamInvocation,
        uploads: Sequence[ClientStream],
        stream: ServerStream,
    ) -> None:
        """Send items until the method or the client ends it; a cancelled stream has a Completion, too."""
        error: str | None = None
        stream.begun()
        try:
            if not stream.cancelled:
                items = await self._invoker.call(session.connection, method, message, uploads)
                await send_items(session.connection, message.invocation_id, items, stream)
        except asyncio.CancelledError:
            if not stream.cancelled:
                raise
        except Exception as failure:
            error = self._invoker.told(session.connection, method, failure)
        finally:
            session.beside -= 1
            del session.streams[message.invocation_id]
            session.close_uploads(message.stream_ids)
        session.connection.send(Completion(message.invocation_id, error=error))

    def _start(self, session: Session, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)
        session.tasks.add(task)
        task.add_done_callback(partial(self._ended, session))

    def _ended(self, session: Session, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        session.tasks.discard(task)
        self._sessions.release(session)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("a call ended with an error of the server's own", exc_info=failure)

    def _refuse(self, session: Session, message: Invocation | StreamInvocation, text: str) -> None:
        if message.invocation_id is not None:
            session.connection.send(Completion(message.invocation_id, error=text))
