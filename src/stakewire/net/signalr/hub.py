"""What the author of a hub writes with: the base class, its context, its marks, its one visible error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from stakewire.net.signalr.auth import Principal
    from stakewire.net.signalr.clients import CallerClients
    from stakewire.net.signalr.connection import HubConnection
    from stakewire.net.signalr.groups import Groups

Stream = AsyncIterator
"""Annotates both kinds of stream: `items: Stream[Reading]` from the client, `-> Stream[int]` to it."""

_F = TypeVar("_F", bound=Callable[..., Any] | type)


class HubError(Exception):
    """The one exception whose text the caller sees; all others are reported without their text."""


class HubContext:
    """The connection that a hub method was called on.

    Attributes:
        connection: the connection itself, as topics want it for `subscribe`.
    """

    __slots__ = ("connection",)

    def __init__(self, connection: HubConnection) -> None:
        self.connection = connection

    @property
    def closed(self) -> bool:
        """The connection has ended; what is sent to it now goes nowhere."""
        return self.connection.closed

    @property
    def connection_id(self) -> str:
        """The public name of the connection, the one that `clients.client(...)` and `groups` take."""
        return self.connection.id

    @property
    def principal(self) -> Principal:
        """Who the token says this is."""
        return self.connection.principal

    @property
    def user_id(self) -> str | None:
        """The user's name in the token; None for a connection without one."""
        return self.connection.principal.user_id

    @property
    def claims(self) -> Mapping[str, Any]:
        """What else the token says."""
        return self.connection.principal.claims

    @property
    def items(self) -> dict[Any, Any]:
        """A place for the hub's own values; lives as long as the connection, across hub instances."""
        return self.connection.items

    def abort(self) -> None:
        """End the connection; clients with automatic reconnect do not come back."""
        self.connection.close()


Policy = Callable[[HubContext], "bool | Awaitable[bool]"]
"""Says whether the connection's user may; its name is what the descriptions of the hub show."""


def signed_in(context: HubContext) -> bool:
    """The policy of `@authorize` without one: the connection has a user."""
    return context.user_id is not None


class Hub:
    """Base of all hubs. Every public `async def` of a subclass can be called by its clients.

    `send_message` is called `SendMessage` on the wire, whatever the case of the letters; `@method` chooses
    another name. An async generator streams to the client; a parameter `Stream[T]` streams from it.
    Names that begin with an underscore stay private. An instance is made for each call, so state that is to
    outlive the call belongs into `context.items` or into what `HubServer(provide=...)` passes in.

    `class ChatHub(Hub, client=ChatClient)` names a class whose `async def` methods describe what the hub
    sends to its clients: descriptions, TypeScript and Python clients then know it, too.
    """

    context: HubContext
    clients: CallerClients
    groups: Groups
    client_methods: ClassVar[type | None] = None

    def __init_subclass__(cls, *, client: type | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if client is not None:
            cls.client_methods = client

    async def on_connected(self) -> None:
        """Called before the connection's first invocation; raising refuses the connection."""

    async def on_disconnected(self, error: str | None) -> None:
        """Called last, when no method runs for the connection any more; `error` None is a clean end."""


def method(name: str) -> Callable[[_F], _F]:
    """Give a hub method another name on the wire than its own in PascalCase."""

    def mark(function: _F) -> _F:
        setattr(function, NAME_MARK, name)
        return function

    return mark


def authorize(*policies: Policy) -> Callable[[_F], _F]:
    """Let only those in who satisfy all `policies`; without any, whoever is signed in.

    On a hub class it is asked when a client connects, on a method at each call. Subclasses keep the
    policies of the hub they derive from.
    """

    def mark(target: _F) -> _F:
        earlier: tuple[Policy, ...] = getattr(target, POLICIES_MARK, ())
        setattr(target, POLICIES_MARK, earlier + (policies or (signed_in,)))
        return target

    return mark


NAME_MARK = "__hub_name__"
POLICIES_MARK = "__hub_policies__"
