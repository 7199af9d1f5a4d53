"""Sending to clients, and asking them: `hub.clients`, `HubServer.clients`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

from stakewire.errors import StakewireError
from stakewire.net.signalr.groups import Audience

T = TypeVar("T")


class InvokeFailed(StakewireError):
    """A client gave no result.

    `code` says why: `CONNECTION_GONE` (no such connection, or it ended before the answer),
    `CLIENT_TIMED_OUT`, `CLIENT_ERROR` (the text is the client's own, not to be shown to others),
    `WRONG_RESULT` (of another type than asked for), `TOO_MANY_CALLS` (that wait for this client already).
    """

    default_code = "CLIENT_ERROR"


class Post(Protocol):
    """What carries messages to clients, of this process and of the others."""

    async def send(self, audience: Audience, target: str, arguments: Sequence[Any]) -> None: ...

    async def invoke(
        self, connection_id: str, target: str, arguments: Sequence[Any], result: Any, timeout: float | None
    ) -> Any: ...

    async def regroup(self, connection_id: str, group: str, *, joins: bool) -> None: ...


class Receivers:
    """Some clients, perhaps none."""

    __slots__ = ("_audience", "_post")

    def __init__(self, post: Post, audience: Audience) -> None:
        self._post = post
        self._audience = audience

    async def send(self, target: str, *arguments: Any) -> None:
        """Call the method `target` on each of them, without an answer.

        Returns when the message is queued, not when it has arrived. It is encoded once for all; a client
        that does not take its messages in time is closed, and delays nobody.

        Raises:
            NotWritable: an argument has no form in a hub protocol.
        """
        await self._post.send(self._audience, target, arguments)


class Receiver(Receivers):
    """One client."""

    __slots__ = ("_connection_id",)

    def __init__(self, post: Post, connection_id: str) -> None:
        super().__init__(post, Audience("connections", (connection_id,)))
        self._connection_id = connection_id

    async def invoke(self, target: str, *arguments: Any, result: type[T], timeout: float | None = None) -> T:
        """Call the method `target` on the client and wait for its result.

        Args:
            target: the name of the client's method.
            arguments: what it is called with.
            result: the type of the result; `type(None)` for none.
            timeout: in seconds; None takes the hub's `client_result_seconds`.

        Raises:
            InvokeFailed: no result came; its `code` says why.
        """
        value: T = await self._post.invoke(self._connection_id, target, arguments, result, timeout)
        return value


class Clients:
    """Chooses whom to send to."""

    __slots__ = ("_post",)

    def __init__(self, post: Post) -> None:
        self._post = post

    @property
    def all(self) -> Receivers:
        """Every connection of the hub."""
        return Receivers(self._post, Audience("all"))

    def all_except(self, *connection_ids: str) -> Receivers:
        """Every connection but these."""
        return Receivers(self._post, Audience("all", excluded=connection_ids))

    def client(self, connection_id: str) -> Receiver:
        """One connection."""
        return Receiver(self._post, connection_id)

    def clients(self, connection_ids: Iterable[str]) -> Receivers:
        """Several connections."""
        return Receivers(self._post, Audience("connections", tuple(connection_ids)))

    def group(self, name: str, *, excluded: Iterable[str] = ()) -> Receivers:
        """The members of a group, without the connections in `excluded`."""
        return Receivers(self._post, Audience("groups", (name,), tuple(excluded)))

    def groups(self, names: Iterable[str]) -> Receivers:
        """The members of several groups; who is in more than one receives a message once."""
        return Receivers(self._post, Audience("groups", tuple(names)))

    def user(self, user_id: str) -> Receivers:
        """All connections of a user."""
        return Receivers(self._post, Audience("users", (user_id,)))

    def users(self, user_ids: Iterable[str]) -> Receivers:
        """All connections of several users."""
        return Receivers(self._post, Audience("users", tuple(user_ids)))


class CallerClients(Clients):
    """Chooses from where a hub method stands: the caller, and the others."""

    __slots__ = ("_caller_id",)

    def __init__(self, post: Post, caller_id: str) -> None:
        super().__init__(post)
        self._caller_id = caller_id

    @property
    def caller(self) -> Receiver:
        """The connection that called."""
        return self.client(self._caller_id)

    @property
    def others(self) -> Receivers:
        """Every connection but the caller's."""
        return self.all_except(self._caller_id)

    def others_in_group(self, name: str) -> Receivers:
        """The members of a group, without the caller."""
        return self.group(name, excluded=(self._caller_id,))
