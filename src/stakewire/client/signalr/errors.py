"""What a call, or the connection, can end with: each error says whose fault it is, and whether to try again.

StakewireError
├── InvalidInput
│   ├── BadArguments        caller   an argument or item cannot be encoded
│   └── TooManyCalls        caller   more calls are waiting for answers than the options allow
├── Conflict
│   └── WrongState          caller   `start` while started, a call before `start` or after `stop`
├── Refused
│   └── HubError            server   the hub's own words: the method failed, is unknown, or is not allowed
├── Unauthorized
│   └── NotAuthorized       caller   401 or 403: the token is missing, wrong or has expired
├── ConfigError
│   └── NotSupported        caller   no transport or protocol in common; negotiation was refused
├── Unavailable                      (retryable)
│   ├── ServerAway          network  no connection could be made
│   ├── NotConnected        network  not sent, since there is no connection just now: nothing has happened
│   ├── ConnectionLost      network  sent, then the connection went: whether it was carried out is not known
│   ├── CallTimedOut        server   no answer in time: whether it was carried out is not known
│   └── SlowConsumer        caller   a queue here stayed full: a handler or the loop over a stream is too slow
├── ServerClosed            server   the server ended the connection and does not want it back
└── BadAnswer               server   something that the protocol does not know, or not of the type asked for
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from stakewire.errors import (
    ConfigError,
    Conflict,
    InvalidInput,
    Refused,
    StakewireError,
    Unauthorized,
    Unavailable,
)


class Fault(Enum):
    """Who has to act for the call to succeed."""

    CALLER = "caller"
    SERVER = "server"
    NETWORK = "network"


class BadArguments(InvalidInput):
    """An argument or item cannot be encoded; nothing was sent."""

    default_code = "BAD_ARGUMENTS"
    fault: ClassVar[Fault] = Fault.CALLER


class TooManyCalls(InvalidInput):
    """As many calls as `max_pending_calls` wait for answers already; nothing was sent."""

    default_code = "TOO_MANY_CALLS"
    fault: ClassVar[Fault] = Fault.CALLER
    retryable = True


class WrongState(Conflict):
    """The connection was not started, was stopped, or is started already."""

    default_code = "WRONG_STATE"
    fault: ClassVar[Fault] = Fault.CALLER


class HubError(Refused):
    """The hub's own words about a call that failed.

    Raised by a handler of this side, its text is what the hub is told; other exceptions tell it nothing.
    """

    default_code = "HUB_ERROR"
    fault: ClassVar[Fault] = Fault.SERVER


class NotAuthorized(Unauthorized):
    """The server answered 401 or 403."""

    default_code = "NOT_AUTHORIZED"
    fault: ClassVar[Fault] = Fault.CALLER


class NotSupported(ConfigError):
    """The server and these options have no transport or protocol in common, or it refuses to negotiate."""

    default_code = "NOT_SUPPORTED"
    fault: ClassVar[Fault] = Fault.CALLER


class ServerAway(Unavailable):
    """No connection could be made."""

    default_code = "SERVER_AWAY"
    fault: ClassVar[Fault] = Fault.NETWORK


class NotConnected(Unavailable):
    """There is no connection just now; nothing was sent."""

    default_code = "NOT_CONNECTED"
    fault: ClassVar[Fault] = Fault.NETWORK


class ConnectionLost(Unavailable):
    """The connection went while the call waited for its answer; whether it was carried out is not known."""

    default_code = "CONNECTION_LOST"
    fault: ClassVar[Fault] = Fault.NETWORK


class CallTimedOut(Unavailable):
    """No answer in the time given to the call; whether it was carried out is not known."""

    default_code = "CALL_TIMED_OUT"
    fault: ClassVar[Fault] = Fault.SERVER


class SlowConsumer(Unavailable):
    """A queue on this side stayed full for `stall_seconds`."""

    default_code = "SLOW_CONSUMER"
    fault: ClassVar[Fault] = Fault.CALLER


class ServerClosed(StakewireError):
    """The server said Close without `allowReconnect`."""

    default_code = "SERVER_CLOSED"
    fault: ClassVar[Fault] = Fault.SERVER


class BadAnswer(StakewireError):
    """The server said something that the protocol does not know, or not of the type asked for."""

    default_code = "BAD_ANSWER"
    fault: ClassVar[Fault] = Fault.SERVER
