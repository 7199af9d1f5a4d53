"""Hub messages (HubProtocol.md): the same nine types in both protocols.

Arguments, items and results are Python values in messages that we send, and `msgspec.Raw` in messages that
were parsed: a protocol's `decode` turns them into the type that the hub method wants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    Value: TypeAlias = Any
else:
    Value = msgspec.Raw  # what msgspec makes of an argument, item or result on parsing: it is left as it came

NOTHING: Final = msgspec.UNSET
"""The result of a Completion that has none; `None` is a result, null."""

Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
Target: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
SequenceId: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # beyond 2**53 JavaScript cannot count


class _Message(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel", tag_field="type", tag=0
):
    """A hub message; `type` is its tag."""


class Invocation(_Message, frozen=True, tag=1):
    """Call `target`. With an `invocation_id` a Completion must follow; without one, nothing may."""

    target: Target
    arguments: list[Value]
    invocation_id: Id | None = None
    stream_ids: tuple[str, ...] = ()
    headers: dict[str, str] = {}


class StreamItem(_Message, frozen=True, tag=2):
    """One item of the stream that `invocation_id` names."""

    invocation_id: Id
    item: Value


class Completion(_Message, frozen=True, tag=3):
    """The end of an invocation or stream: a result, an error, or neither; never both.

    Raises:
        ValueError: both an error and a result were given.
    """

    invocation_id: Id
    result: Value | msgspec.UnsetType = NOTHING
    error: str | None = None

    def __post_init__(self) -> None:
        if self.error is not None and self.result is not NOTHING:
            raise ValueError("a completion has a result or an error, not both")


class StreamInvocation(_Message, frozen=True, tag=4):
    """Call the streaming method `target`: StreamItems and a Completion without result follow."""

    target: Target
    arguments: list[Value]
    invocation_id: Id
    stream_ids: tuple[str, ...] = ()
    headers: dict[str, str] = {}


class CancelInvocation(_Message, frozen=True, tag=5):
    """The caller wants no more items; a Completion still follows."""

    invocation_id: Id


class Ping(_Message, frozen=True, tag=6):
    """Keep-alive."""


class Close(_Message, frozen=True, tag=7):
    """The sender is about to close the connection.

    Attributes:
        allow_reconnect: clients with automatic reconnect may come back; without it they stop for good.
    """

    error: str | None = None
    allow_reconnect: bool = False


class Ack(_Message, frozen=True, tag=8):
    """Stateful reconnect: everything up to `sequence_id` was received."""

    sequence_id: SequenceId


class Sequence(_Message, frozen=True, tag=9):
    """Stateful reconnect: the tracked message that comes next has the number `sequence_id`."""

    sequence_id: SequenceId


HubMessage: TypeAlias = (
    Invocation | StreamItem | Completion | StreamInvocation | CancelInvocation | Ping | Close | Ack | Sequence
)

_UNTRACKED: Final = frozenset({Ping, Close, Ack, Sequence})


def is_tracked(message: HubMessage) -> bool:
    """Whether stateful reconnect counts this message: types 1 to 5."""
    return type(message) not in _UNTRACKED
