"""From messages to hub methods, and from their results back to messages (section "Hub messages")."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from stakewire.net.signalr.calls import (
    Denied,
    WrongCall,
    bind,
    check_policies,
    error_text,
    refusal_text,
    unknown_method,
    wrong_kind,
)
from stakewire.net.signalr.clients import CallerClients, Post
from stakewire.net.signalr.connection import HubConnection
from stakewire.net.signalr.filters import (
    Filter,
    HubFilter,
    InvocationContext,
    around_invocations,
    run_connected,
    run_disconnected,
)
from stakewire.net.signalr.groups import Groups, Members
from stakewire.net.signalr.hub import Hub, HubContext, HubError
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
        self._post = post
        self._groups = groups
        self._hub = hub
        self._provide = provide
        self._filters = filters
        self._call_filtered = around_invocations(filters)
        self._tasks: set[asyncio.Task[None]] = set()
        around = [one for one in filters if isinstance(one, HubFilter)]
        self._cares_for_connect = (
            hub.on_connected is not Hub.on_connected
            or bool(self.description.policies)
            or any(type(one).on_connected is not HubFilter.on_connected for one in around)
        )
        self._cares_for_disconnect = hub.on_disconnected is not Hub.on_disconnected or any(
            type(one).on_disconnected is not HubFilter.on_disconnected for one in around
        )

    # What CORE calls.

    def connected(self, connection: HubConnection) -> Awaitable[None] | None:
        """The connection can be reached from now on, unless its hub refuses it."""
        if self._cares_for_connect:
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
        if was_member and self._cares_for_disconnect:
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
        hub = self._new_hub(connection)
        self._sessions.connecting.add(connection)
        try:
            await check_policies(self.description.policies, hub.context)
            self._members.add(connection)
            await run_connected(self._filters, hub)
        except (HubError, Denied) as refusal:
            self._members.remove(connection)
            connection.close(refusal_text(refusal))
        except BaseException:
            self._members.remove(connection)
            raise
        finally:
            self._sessions.connecting.discard(connection)

    async def _disconnect(
        self, connection: HubConnection, error: str | None, running: Sequence[asyncio.Task[None]]
    ) -> None:
        if running:
            await asyncio.wait(running)
        try:
            await run_disconnected(self._filters, self._new_hub(connection), error)
        except Exception:
            log.exception("on_disconnected failed", connection=connection.id)

    def _new_hub(self, connection: HubConnection) -> Hub:
        hub = self._provide(self._hub)
        hub.context = HubContext(connection)
        hub.clients = CallerClients(self._post, connection.id)
        hub.groups = self._groups
        return hub

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
        if len(ids) != len(method.streams) or any(name in session.uploads for name in ids):
            wrong = WrongCall(f"The target expects {len(method.streams)} stream(s) with ids not in use.")
            self._refuse(session, message, self._told(session, method, wrong))
            return None
        session.beside += 1
        return [session.open_upload(name, p.type) for name, p in zip(ids, method.streams, strict=True)]

    async def _invoke_in_turn(self, session: Session, method: HubMethod, message: Invocation) -> None:
        """A call, and then the ones that came meanwhile: a busy connection needs no task for each."""
        try:
            call: tuple[HubMethod, Invocation] | None = (method, message)
            while call is not None:
                await self._invoke(session, *call, ())
                call = session.next()
        finally:
            session.running -= 1

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
            result = await self._call(session, method, message, uploads)
        except Exception as failure:
            error = self._told(session, method, failure)
        if message.invocation_id is None:
            return
        if error is None:
            try:
                session.connection.send(Completion(message.invocation_id, result))
            except Exception as failure:  # the result cannot be encoded
                error = self._told(session, method, failure)
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
                items = await self._call(session, method, message, uploads)
                await send_items(session.connection, message.invocation_id, items, stream)
        except asyncio.CancelledError:
            if not stream.cancelled:
                raise
        except Exception as failure:
            error = self._told(session, method, failure)
        finally:
            session.beside -= 1
            del session.streams[message.invocation_id]
            session.close_uploads(message.stream_ids)
        session.connection.send(Completion(message.invocation_id, error=error))

    async def _call(
        self,
        session: Session,
        method: HubMethod,
        message: Invocation | StreamInvocation,
        uploads: Sequence[ClientStream],
    ) -> Any:
        connection = session.connection
        hub = self._new_hub(connection)
        if method.policies:
            await check_policies(method.policies, hub.context)
        arguments = bind(method, connection.protocol, message.arguments, uploads)
        return await self._call_filtered(InvocationContext(hub, method, arguments))

    def _start(self, session: Session, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        session.connection.method_started()
        self._tasks.add(task)
        session.tasks.add(task)
        task.add_done_callback(partial(self._ended, session))

    def _ended(self, session: Session, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        session.tasks.discard(task)
        session.connection.method_ended()
        self._sessions.release(session)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("a call ended with an error of the server's own", exc_info=failure)

    def _refuse(self, session: Session, message: Invocation | StreamInvocation, text: str) -> None:
        if message.invocation_id is not None:
            session.connection.send(Completion(message.invocation_id, error=text))

    def _told(self, session: Session, method: HubMethod, failure: Exception) -> str:
        """What the client is told; the log has the rest."""
        if isinstance(failure, HubError | Denied | WrongCall):
            log.info("hub method refused", method=method.name, connection=session.connection.id)
        else:
            log.error(
                "hub method failed", method=method.name, connection=session.connection.id, exc_info=failure
            )
        return error_text(method, failure, detailed=self._options.detailed_errors)
