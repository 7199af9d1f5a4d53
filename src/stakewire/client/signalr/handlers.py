"""What the server invokes on this side: handlers, their queues, and the results they give."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from stakewire.client.signalr.errors import BadAnswer, HubError, SlowConsumer
from stakewire.client.signalr.flow import Backlog
from stakewire.wire.signalr.errors import BadArgument
from stakewire.wire.signalr.messages import Completion, Invocation
from stakewire.wire.signalr.protocol import HubProtocol

log = logging.getLogger("stakewire.client.signalr")

Handler = Callable[..., Any]
Reply = Callable[[Completion], None]


class Overflow(Enum):
    """What to do when more messages wait for an async handler than its queue holds."""

    WAIT = "wait"  # read nothing more; after `stall_seconds` the connection is made anew
    DROP_OLDEST = "drop_oldest"  # for targets whose messages are whole states: the newest count


class Registration:
    """One handler of one target.

    A plain function runs at once, in the order of arrival over all targets. A coroutine function gets the
    messages of its target one at a time, from a queue of its own.
    """

    def __init__(
        self,
        target: str,
        handler: Handler,
        types: Sequence[Any] | None,
        *,
        max_queued: int,
        overflow: Overflow,
        backlog: Backlog,
        owner: Handlers,
    ) -> None:
        self.target = target
        self.skipped = 0
        """Messages dropped because newer ones came (DROP_OLDEST)."""
        self._handler = handler
        self._types = types
        self._is_async = inspect.iscoroutinefunction(inspect.unwrap(handler)) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        self._max = max_queued
        self._overflow = overflow
        self._backlog = backlog
        self._owner = owner
        self._queue: deque[tuple[HubProtocol, Invocation, Reply | None]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def remove(self) -> None:
        """No further message reaches the handler; what waits for it is dropped."""
        self._owner.remove(self)
        self._clear()

    def take(self, protocol: HubProtocol, invocation: Invocation, reply: Reply | None) -> None:
        """Run the handler now, or put the message in its queue."""
        if not self._is_async:
            self._answer(reply, invocation, *self._call(protocol, invocation))
            return
        if len(self._queue) >= self._max and self._overflow is Overflow.DROP_OLDEST:
            self._drop_oldest()
        self._queue.append((protocol, invocation, reply))
        if len(self._queue) >= self._max and self._overflow is Overflow.WAIT:
            self._backlog.filled(self)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    def stalled(self) -> SlowConsumer | None:
        """See `Stallable`: what waits is dropped, and the connection made anew, so that all is told."""
        self._queue.clear()
        return SlowConsumer(
            f"the handler of {self.target} finished nothing while {self._max} messages waited"
        )

    async def stop(self) -> None:
        """Cancel what runs, unless it is what asks for this."""
        self._clear()
        if self._worker is not None and self._worker is not asyncio.current_task():
            self._worker.cancel()
            await asyncio.wait([self._worker])

    def _clear(self) -> None:
        self._queue.clear()
        self._backlog.drained(self)

    def _drop_oldest(self) -> None:
        _, invocation, reply = self._queue.popleft()
        self.skipped += 1
        self._answer(reply, invocation, None, "The client dropped the message for a newer one.")

    async def _work(self) -> None:
        try:
            while self._queue:
                protocol, invocation, reply = self._queue.popleft()
                self._backlog.drained(self)
                result, error = self._call(protocol, invocation)
                if error is None:
                    result, error = await self._awaited(result)
                self._answer(reply, invocation, result, error)
        finally:
            self._worker = None

    def _call(self, protocol: HubProtocol, invocation: Invocation) -> tuple[Any, str | None]:
        try:
            return self._handler(*self._arguments(protocol, invocation)), None
        except Exception as error:
            return None, self._reported(error)

    async def _awaited(self, result: Any) -> tuple[Any, str | None]:
        try:
            return await result, None
        except Exception as error:
            return None, self._reported(error)

    def _arguments(self, protocol: HubProtocol, invocation: Invocation) -> list[Any]:
        """Further arguments than `types` names are passed over: a newer server may send more."""
        given = invocation.arguments
        types = [Any] * len(given) if self._types is None else self._types
        if len(given) < len(types):
            raise BadAnswer(f"{self.target} came with {len(given)} arguments, the handler takes {len(types)}")
        try:
            return [protocol.decode(raw, kind) for raw, kind in zip(given, types, strict=False)]
        except BadArgument as error:
            raise BadAnswer(f"an argument of {self.target} has another type: {error.message}") from None

    def _reported(self, error: Exception) -> str:
        """The server is told the text of a HubError and nothing of any other exception."""
        if isinstance(error, HubError):
            return error.message
        if isinstance(error, BadAnswer):
            log.error("%s", error.message)
            return "The client could not read the arguments."
        log.error("the handler of %s failed", self.target, exc_info=error)
        return "The client's handler failed."

    def _answer(self, reply: Reply | None, invocation: Invocation, result: Any, error: str | None) -> None:
        if reply is None or invocation.invocation_id is None:
            return
        if error is None:
            reply(Completion(invocation.invocation_id, result=result))
        else:
            reply(Completion(invocation.invocation_id, error=error))


class Handlers:
    """All registrations, by target; targets are matched without regard to case, as the stock clients do."""

    def __init__(self, backlog: Backlog, max_queued: int) -> None:
        self._by_target: dict[str, list[Registration]] = {}
        self._backlog = backlog
        self._max_queued = max_queued

    def add(
        self,
        target: str,
        handler: Handler,
        types: Sequence[Any] | None,
        max_queued: int | None,
        overflow: Overflow,
    ) -> Registration:
        """See `HubConnection.on`."""
        registration = Registration(
            target,
            handler,
            types,
            max_queued=self._max_queued if max_queued is None else max_queued,
            overflow=overflow,
            backlog=self._backlog,
            owner=self,
        )
        self._by_target.setdefault(target.lower(), []).append(registration)
        return registration

    def remove(self, registration: Registration) -> None:
        """Take it out; once is enough."""
        registrations = self._by_target.get(registration.target.lower(), [])
        if registration in registrations:
            registrations.remove(registration)

    def dispatch(self, protocol: HubProtocol, invocation: Invocation, reply: Reply) -> None:
        """Hand it to every handler of its target; a result is given by the one handler there is."""
        registrations = tuple(self._by_target.get(invocation.target.lower(), ()))
        wanted = invocation.invocation_id
        if wanted is not None and len(registrations) != 1:
            reply(Completion(wanted, error=_no_result(len(registrations))))
        elif not registrations:
            log.debug("no handler for %s", invocation.target)
        one = reply if wanted is not None and len(registrations) == 1 else None
        for registration in registrations:
            registration.take(protocol, invocation, one)

    async def stop(self) -> None:
        """Cancel what runs; the registrations stay for the next start."""
        for registrations in self._by_target.values():
            for registration in registrations:
                await registration.stop()


def _no_result(handlers: int) -> str:
    if handlers:
        return "Client has several handlers for this method; a result needs exactly one."
    return "Client didn't provide a result."
