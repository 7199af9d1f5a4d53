"""The states of a connection, and what comes after each end of a transport; no socket, no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from stakewire.client.signalr.errors import NotAuthorized, ServerAway, WrongState
from stakewire.client.signalr.options import ClientOptions
from stakewire.errors import StakewireError


class State(Enum):
    """Where a connection stands.

    DISCONNECTED -> CONNECTING -> CONNECTED <-> RESUMING
          ^                           |            |
          |                           v            v
          +---- STOPPING <------ RECONNECTING -> CONNECTED
    """

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RESUMING = "resuming"  # cut; the same connection is being reopened, calls wait and nothing is lost
    RECONNECTING = "reconnecting"  # lost; a new connection is being made, calls are refused
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class StateChange:
    """What `on_state` is told; `error` says why, where something went wrong."""

    old: State
    new: State
    error: StakewireError | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a transport ended.

    Attributes:
        error: in words and by class.
        resumable: it was cut; the server may have kept the connection.
        reconnect: a new connection is welcome.
    """

    error: StakewireError
    resumable: bool = False
    reconnect: bool = True


@dataclass(frozen=True, slots=True)
class Resume:
    """Reopen the transport of the same connection after `wait` seconds."""

    wait: float


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Make a new connection after `wait` seconds."""

    wait: float


@dataclass(frozen=True, slots=True)
class Finish:
    """It is over."""

    error: StakewireError


Next = Resume | Reconnect | Finish


class Lifecycle:
    """Decides; the caller carries out and reports back. Times are seconds of one monotonic clock."""

    def __init__(self, options: ClientOptions, chance: random.Random, *, renews_token: bool) -> None:
        """`renews_token`: the token may be another one next time, so that 401 is worth another attempt."""
        self.state = State.DISCONNECTED
        self._options = options
        self._chance = chance
        self._renews_token = renews_token
        self._attempt = 0
        self._connected_at = 0.0
        self._cut_at: float | None = None
        self._resume_attempt = 0

    def starting(self) -> None:
        """Raises WrongState unless disconnected."""
        if self.state is not State.DISCONNECTED:
            raise WrongState(
                f"the connection is {self.state.value}; it can be started when it is disconnected"
            )
        self.state = State.CONNECTING
        self._attempt = 0

    def connected(self, now: float) -> None:
        """A new connection has shaken hands, or a cut one goes on where it was."""
        if self.state is not State.RESUMING:
            self._connected_at = now
        self.state = State.CONNECTED
        self._cut_at = None

    def stopping(self) -> None:
        """The user wants it to end."""
        self.state = State.STOPPING

    def stopped(self) -> None:
        """It has ended; it may be started again."""
        self.state = State.DISCONNECTED

    def lost(self, ending: Ending, now: float, *, resumable: bool) -> Next:
        """The transport of an open connection has ended: resume if that loses nothing, else reconnect."""
        if self.state is State.CONNECTED and now - self._connected_at >= self._options.stable_seconds:
            self._attempt = 0
        if not (resumable and ending.resumable):
            return self._reconnect(ending)
        if self._cut_at is None:
            self._cut_at, self._resume_attempt = now, 0
            self.state = State.RESUMING
        return self._resume(ending.error, now)

    def resume_failed(self, error: StakewireError, now: float, *, gone: bool) -> Next:
        """Reopening failed; `gone`: the server does not know the connection any more."""
        return self._reconnect(Ending(error)) if gone else self._resume(error, now)

    def attempt_failed(self, error: StakewireError) -> Next:
        """A new connection could not be made.

        The first one fails `start`, unless the options say otherwise and the server is just away. Later ones
        are tried again whatever it was, since a deployment shows many faces, except with a token that will
        not change.
        """
        if self.state is State.CONNECTING:
            final = not (self._options.retry_start and isinstance(error, ServerAway))
        else:
            final = isinstance(error, NotAuthorized) and not self._renews_token
        return Finish(error) if final else self._reconnect(Ending(error))

    def _resume(self, error: StakewireError, now: float) -> Next:
        wait = self._options.resume.wait(self._resume_attempt, self._chance)
        self._resume_attempt += 1
        assert self._cut_at is not None
        if wait is None or now + wait - self._cut_at > self._options.resume_seconds:
            return self._reconnect(Ending(error))
        return Resume(wait)

    def _reconnect(self, ending: Ending) -> Next:
        wait = self._options.reconnect.wait(self._attempt, self._chance) if ending.reconnect else None
        if wait is None:
            return Finish(ending.error)
        self._attempt += 1
        self._cut_at = None
        if self.state is not State.CONNECTING:
            self.state = State.RECONNECTING
        return Reconnect(wait)
