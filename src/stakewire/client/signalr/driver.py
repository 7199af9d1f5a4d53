"""Keeps one connection alive: dials, carries, resumes, reconnects, until it is stopped or has to give up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import aiohttp

from stakewire.client.signalr.dial import ConnectionGone, Dialer, Dialled
from stakewire.client.signalr.errors import BadArguments, ConnectionLost, NotConnected, ServerAway, WrongState
from stakewire.client.signalr.flow import Backlog, Gate
from stakewire.client.signalr.hooks import tell
from stakewire.client.signalr.lifecycle import (
    Ending,
    Finish,
    Lifecycle,
    Next,
    Reconnect,
    Resume,
    State,
    StateChange,
)
from stakewire.client.signalr.links.base import Link
from stakewire.client.signalr.options import ClientOptions
from stakewire.client.signalr.pump import Pump
from stakewire.client.signalr.session import Session
from stakewire.clock import Clock
from stakewire.errors import StakewireError
from stakewire.wire.signalr.errors import NotWritable
from stakewire.wire.signalr.messages import HubMessage
from stakewire.wire.signalr.protocol import HubProtocol

log = logging.getLogger("stakewire.client.signalr")


class Driver:
    """One per `HubConnection`; may be started again after it has ended.

    Attributes:
        session: the open connection that calls go to, also while it is being resumed; None if there is none.
        dialled: how the present connection came about.
    """

    def __init__(
        self,
        dialer: Callable[[aiohttp.ClientSession], Dialer],
        http_session: aiohttp.ClientSession | None,
        protocol: HubProtocol,
        options: ClientOptions,
        lifecycle: Lifecycle,
        *,
        clock: Clock,
        backlog: Backlog,
        dispatch: Callable[[Session, HubMessage], None],
        lost: Callable[[StakewireError], None],
        changed: Callable[[StateChange], None],
    ) -> None:
        """Nothing is opened yet.

        Args:
            dialer: makes a dialer that uses an HTTP session.
            http_session: to be shared; without one, each start makes its own.
            dispatch: takes each message for the user; must not wait.
            lost: told when a connection is given up, so that its calls fail.
            changed: told of each change of state.
        """
        self.session: Session | None = None
        self.dialled: Dialled | None = None
        self._dialer = dialer
        self._http_session = http_session
        self._protocol = protocol
        self._options = options
        self._lifecycle = lifecycle
        self._monotonic = clock.monotonic
        self._clock = clock
        self._backlog = backlog
        self._dispatch = dispatch
        self._lost = lost
        self._changed = changed
        self._room = Gate()
        self._moved = Gate()
        self._pump: Pump | None = None
        self._task: asyncio.Task[None] | None = None
        self._error: StakewireError | None = None

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._lifecycle.state

    async def start(self) -> None:
        """Until it is connected. Raises why it is not."""
        old = self.state
        self._lifecycle.starting()
        self._error = None
        self._tell(old, None)
        self._task = asyncio.create_task(self._run())
        try:
            await self.connected()
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Say Close, close the transport, wait for the end. Returns at once if it has ended."""
        task = self._task
        if task is None or task.done():
            return
        old = self.state
        if old is not State.STOPPING:
            self._lifecycle.stopping()
            self._tell(old, None)
            try:
                if self._pump is not None:
                    await self._pump.close(self._options.close_seconds)
            finally:
                task.cancel()
        await asyncio.wait((task,))

    async def connected(self) -> None:
        """Wait for CONNECTED. Raises the error it ended with, or WrongState."""
        while self.state is not State.CONNECTED:
            if self.state in (State.DISCONNECTED, State.STOPPING):
                raise self._error or WrongState("the connection was not started, or was stopped")
            await self._moved.wait()

    async def ended(self) -> StakewireError | None:
        """Wait for DISCONNECTED; the error it ended with, None after `stop`."""
        while self.state is not State.DISCONNECTED:
            await self._moved.wait()
        return self._error

    def usable(self) -> Session:
        """The session for a new call. Raises NotConnected or WrongState."""
        if self.session is not None and self.state in (State.CONNECTED, State.RESUMING):
            return self.session
        if self.state in (State.CONNECTING, State.RECONNECTING):
            raise NotConnected(f"the connection is {self.state.value}; nothing was sent")
        raise WrongState("the connection was not started, or has ended; nothing was sent")

    async def say(self, session: Session, message: HubMessage) -> None:
        """Write to that very session, as soon as there is room.

        Raises:
            NotConnected: it went away; nothing was sent.
            BadArguments: a value cannot be encoded; nothing was sent.
        """
        while session is self.session and not session.has_room:
            await self._room.wait()
        self.say_now(session, message)

    def say_now(self, session: Session, message: HubMessage) -> None:
        """The same without waiting for room: for few and small messages."""
        if session is not self.session:
            raise NotConnected("the connection was lost; nothing was sent")
        try:
            session.write(message)
        except NotWritable as error:
            raise BadArguments(error.message) from error
        if self._pump is not None:
            self._pump.wake()

    async def _run(self) -> None:
        http_session = self._http_session or aiohttp.ClientSession()
        error: StakewireError | None = None
        try:
            error = await self._live(self._dialer(http_session))
        except Exception as bug:
            log.error("the connection failed in a way it should not", exc_info=bug)
            error = StakewireError(f"internal error: {type(bug).__name__}")
            error.__cause__ = bug
        finally:
            self._give_up(ConnectionLost("the connection was stopped") if error is None else error)
            if http_session is not self._http_session:
                await http_session.close()
            old = self.state
            self._error = error
            self._lifecycle.stopped()
            self._tell(old, error)

    async def _live(self, dialer: Dialer) -> StakewireError | None:
        """Goes from one transport to the next; returns why there is no further one, None after `stop`."""
        step: Next = Reconnect(0.0)
        session: Session | None = None
        while not isinstance(step, Finish):
            old = self.state
            await asyncio.sleep(step.wait)
            try:
                if isinstance(step, Resume):
                    assert session is not None
                    assert self.dialled is not None
                    link = await dialer.redial(self.dialled)
                else:
                    self.dialled = await dialer.dial()
                    link = self.dialled.link
                    session = self._new_session(self.dialled)
                ending = await self._carry(link, session)
            except ConnectionGone as error:
                gone = ConnectionLost(f"the server has given the connection up ({error})")
                step = self._lifecycle.resume_failed(gone, self._monotonic(), gone=True)
                self._follow(old, step, gone)
            except StakewireError as error:
                if isinstance(step, Resume):
                    step = self._lifecycle.resume_failed(error, self._monotonic(), gone=False)
                else:
                    step = self._lifecycle.attempt_failed(error)
                self._follow(old, step, error)
            else:
                old = self.state
                if old is State.STOPPING:
                    return None
                step = self._ended(session, ending)
                self._follow(old, step, ending.error)
        return step.error

    def _new_session(self, dialled: Dialled) -> Session:
        return Session(
            self._protocol,
            self._options,
            stateful=dialled.stateful,
            inherent_keep_alive=dialled.link.inherent_keep_alive,
        )

    async def _carry(self, link: Link, session: Session) -> Ending:
        self._pump = Pump(
            link,
            session,
            dispatch=lambda message: self._dispatch(session, message),
            opened=lambda: self._opened(session),
            backlog=self._backlog,
            room=self._room,
            clock=self._clock,
        )
        try:
            return await self._pump.run()
        finally:
            self._pump = None

    def _opened(self, session: Session) -> None:
        old = self.state
        if old is State.STOPPING:
            return
        self.session = session
        self._lifecycle.connected(self._monotonic())
        self._tell(old, None)

    def _ended(self, session: Session, ending: Ending) -> Next:
        if session is not self.session:
            error = ending.error
            if isinstance(error, ConnectionLost):
                error = ServerAway(f"the connection was lost during the handshake: {error.message}")
            return self._lifecycle.attempt_failed(error)
        return self._lifecycle.lost(ending, self._monotonic(), resumable=session.resumable)

    def _follow(self, old: State, step: Next, error: StakewireError) -> None:
        """After a loss or failure: without a resumption to come, what hung on the connection has failed."""
        if not isinstance(step, Resume):
            self._give_up(error)
        if not isinstance(step, Finish):
            self._tell(old, error)

    def _give_up(self, error: StakewireError) -> None:
        if self.session is not None:
            self.session = None
            self._room.changed()
            self._lost(error)

    def _tell(self, old: State, error: StakewireError | None) -> None:
        if old is not self.state:
            self._moved.changed()
            tell(self._changed, StateChange(old, self.state, error))
