"""A hub's sends, memberships, topics and questions to clients, across all its processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog

from stakewire.clock import Clock
from stakewire.errors import StakewireError, Unavailable
from stakewire.ids import Tokens
from stakewire.net.signalr.backplane import Backplane
from stakewire.net.signalr.clients import InvokeFailed
from stakewire.net.signalr.groups import Audience
from stakewire.net.signalr.states import TopicStates
from stakewire.wire.backplane.envelope import (
    Ask,
    Envelope,
    Regroup,
    Send,
    StatesWanted,
    Told,
    TopicEvent,
    TopicState,
    UnknownEnvelope,
    pack,
    unpack,
)

MAX_ASKED: Final = 1_000
"""Most questions to clients of other processes that may wait for their answers."""

_NAME_BYTES = 12
_TRAVEL_SECONDS = 2.0  # what a question may take beyond its own time, there and back
_ANSWERED_AT_ONCE = 100  # states told to a process that asked, before others get their turn
_BREATH_SECONDS = 0.02

log = structlog.get_logger("stakewire.hub")

TellTopic = Callable[[str, Sequence[Any]], None]
"""Hands what was published under a name to the topic of that name, if this process has it."""


class LocalHub(Protocol):
    """The connections of this process."""

    def holds(self, connection_id: str) -> bool:
        """The connection is one of this process."""
        ...

    def deliver(self, audience: Audience, target: str, arguments: Sequence[Any]) -> None:
        """Call `target` on those of the audience that are here, encoded once for all."""
        ...

    def regroup(self, connection_id: str, group: str, *, joins: bool) -> None:
        """Change a membership; of no effect on a connection that is not here."""
        ...

    async def invoke(
        self, connection_id: str, target: str, arguments: Sequence[Any], result: Any, timeout: float | None
    ) -> Any:
        """Ask a connection that is here; raises `InvokeFailed`."""
        ...

    def missed(self) -> None:
        """Messages of other processes are missing: their clients here must come again."""
        ...


class Exchange:
    """Turns what a hub does into envelopes for all processes, and carries out those that arrive.

    Everything goes through the backplane and comes back, so that all processes see the backplane's order;
    only what concerns connections of this process alone stays here.
    """

    def __init__(
        self,
        backplane: Backplane,
        local: LocalHub,
        *,
        tell_topic: TellTopic,
        clock: Clock,
        tokens: Tokens,
        result_seconds: float,
    ) -> None:
        self._backplane = backplane
        self._local = local
        self._tell_topic = tell_topic
        self._clock = clock
        self._name = tokens.token(_NAME_BYTES)
        self._result_seconds = result_seconds
        self._states = TopicStates()
        self._asked: dict[int, asyncio.Future[Told]] = {}
        self._last_asked = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Meet the other processes, and ask them for the states of topics; raises as `Backplane.start`."""
        await self._backplane.start(self._receive, self._lost)
        self._publish(StatesWanted(self._name))

    async def stop(self) -> None:
        """Send what waits, and leave."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._backplane.stop()

    # What the hub does.

    async def send(self, audience: Audience, target: str, arguments: Sequence[Any]) -> None:
        """Call `target` on the audience, wherever its connections are.

        Raises:
            InvalidInput: an argument cannot be encoded, or all together are too long.
            Unavailable: the backplane is away, and as much as may wait for it waits already.
        """
        if audience.kind == "connections" and all(map(self._local.holds, audience.names)):
            self._local.deliver(audience, target, arguments)
        else:
            self._publish(Send(audience.kind, audience.names, audience.excluded, target, arguments))

    async def invoke(
        self, connection_id: str, target: str, arguments: Sequence[Any], result: Any, timeout: float | None
    ) -> Any:
        """Call `target` on one connection and wait for its result.

        Raises:
            InvokeFailed: no result came; its `code` says why.
            InvalidInput, Unavailable: as `send`.
        """
        if self._local.holds(connection_id):
            return await self._local.invoke(connection_id, target, arguments, result, timeout)
        seconds = self._result_seconds if timeout is None else timeout
        told = await self._ask(connection_id, target, arguments, seconds)
        if told.code:
            raise InvokeFailed(told.error, code=told.code)
        try:
            return msgspec.convert(told.result, result)
        except msgspec.ValidationError as error:
            raise InvokeFailed(f"the client's result does not fit: {error}", code="WRONG_RESULT") from error

    async def regroup(self, connection_id: str, group: str, *, joins: bool) -> None:
        """Change a membership, wherever the connection is; for one elsewhere it holds soon after.

        Raises:
            Refused: the connection is in as many groups as it may be; known only where the connection is.
            Unavailable: as `send`.
        """
        if self._local.holds(connection_id):
            self._local.regroup(connection_id, group, joins=joins)
        else:
            self._publish(Regroup(connection_id, group, joins))

    # Topics.

    def newest(self, name: str) -> Sequence[Any] | None:
        """The newest state that any process has published under this name; for topics made here later."""
        state = self._states.newest(name)
        return None if state is None else state.arguments

    def publish_state(self, name: str, arguments: Sequence[Any]) -> None:
        """A new state of a topic; raises as `send`."""
        self._publish(TopicState(name, self._states.stamp(self._clock.now(), name), arguments))

    def publish_event(self, name: str, arguments: Sequence[Any]) -> None:
        """An event of a topic; raises as `send`."""
        self._publish(TopicEvent(name, arguments))

    # What arrives.

    def _receive(self, data: bytes) -> None:
        try:
            self._carry_out(unpack(data))
        except UnknownEnvelope as error:
            log.warning("an envelope is passed over", error=str(error))
        except Exception:
            log.exception("an envelope could not be carried out")

    def _carry_out(self, envelope: Envelope) -> None:
        match envelope:
            case Send(kind, names, excluded, target, arguments):
                self._local.deliver(Audience(kind, tuple(names), tuple(excluded)), target, arguments)
            case TopicState():
                if self._states.take(envelope):
                    self._tell_topic(envelope.topic, envelope.arguments)
            case TopicEvent(topic, arguments):
                self._tell_topic(topic, arguments)
            case Regroup(connection_id, group, joins):
                if self._local.holds(connection_id):
                    self._local.regroup(connection_id, group, joins=joins)
            case StatesWanted(asker):
                if asker != self._name:
                    self._begin(self._tell_states(asker))
            case Ask():
                if self._local.holds(envelope.connection_id):
                    self._begin(self._answer(envelope))
            case Told(asker, number):
                waiting = self._asked.get(number) if asker == self._name else None
                if waiting is not None and not waiting.done():
                    waiting.set_result(envelope)

    def _lost(self) -> None:
        """What was missed cannot be had again; states can, from whoever knows newer ones."""
        try:
            self._local.missed()
            self._publish(StatesWanted(self._name))
        except Exception:
            log.exception("after missed messages")

    # Questions and answers.

    async def _ask(self, connection_id: str, target: str, arguments: Sequence[Any], seconds: float) -> Told:
        if len(self._asked) >= MAX_ASKED:
            raise InvokeFailed(f"{MAX_ASKED} calls wait for other processes already", code="TOO_MANY_CALLS")
        self._last_asked = number = self._last_asked + 1
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._publish(Ask(self._name, number, connection_id, target, arguments, seconds))
            async with asyncio.timeout(seconds + _TRAVEL_SECONDS):
                return await answer
        except TimeoutError:
            raise InvokeFailed(
                f"no process has answered for the connection within {seconds:g} s", code="CLIENT_TIMED_OUT"
            ) from None
        finally:
            del self._asked[number]

    async def _answer(self, ask: Ask) -> None:
        try:
            result = await self._local.invoke(ask.connection_id, ask.target, ask.arguments, Any, ask.seconds)
            told = Told(ask.asker, ask.number, result)
        except StakewireError as failure:
            told = Told(ask.asker, ask.number, code=failure.code, error=failure.message)
        self._publish(told)

    async def _tell_states(self, asker: str) -> None:
        """Tell the asker all states, some at a time, but for those that others have told it meanwhile."""
        with self._states.answering(asker) as unanswered:
            for sent, state in enumerate(unanswered, 1):
                self._publish(msgspec.structs.replace(state, answer_to=asker))
                if sent % _ANSWERED_AT_ONCE == 0:
                    await asyncio.sleep(_BREATH_SECONDS)

    def _publish(self, envelope: Envelope) -> None:
        self._backplane.publish(pack(envelope))

    def _begin(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            said = log.warning if isinstance(failure, Unavailable) else log.error
            said("another process gets no answer", error=str(failure))
