"""Who is connected to this process, under which user, in which groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from stakewire.errors import Refused

if TYPE_CHECKING:
    from stakewire.net.signalr.clients import Post
    from stakewire.net.signalr.connection import HubConnection


class Audience(msgspec.Struct, frozen=True, array_like=True):
    """Whom a message is for: connections, users or groups by name, or all; without those in `excluded`.

    `kind` is `all`, `connections`, `users` or `groups`; `excluded` are connection ids.
    """

    kind: str
    names: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


class Members:
    """The connections of this process; each is a member from `add` to `remove`, and in its groups no longer.

    `groups_per_connection` bounds what a client can make the server remember, since hubs often let clients
    choose the groups they join.
    """

    def __init__(self, groups_per_connection: int) -> None:
        self.connections: dict[str, HubConnection] = {}
        self._bound = groups_per_connection
        self._users: dict[str, dict[str, HubConnection]] = {}
        self._groups: dict[str, dict[str, HubConnection]] = {}
        self._joined: dict[str, set[str]] = {}

    def add(self, connection: HubConnection) -> None:
        """The connection can be reached from now on."""
        self.connections[connection.id] = connection
        user = connection.principal.user_id
        if user is not None:
            self._users.setdefault(user, {})[connection.id] = connection

    def remove(self, connection: HubConnection) -> bool:
        """The connection has ended, and its memberships with it; False if it was no member."""
        if self.connections.pop(connection.id, None) is None:
            return False
        user = connection.principal.user_id
        if user is not None:
            _leave(self._users, user, connection.id)
        for group in self._joined.pop(connection.id, ()):
            _leave(self._groups, group, connection.id)
        return True

    def join(self, connection_id: str, group: str) -> bool:
        """Put a connection into a group; False if it is not a connection of this process.

        Raises:
            Refused: the connection is in as many groups as it may be.
        """
        connection = self.connections.get(connection_id)
        if connection is None:
            return False
        joined = self._joined.setdefault(connection_id, set())
        if group not in joined and len(joined) >= self._bound:
            raise Refused(f"a connection can be in {self._bound} groups at most", code="TOO_MANY_GROUPS")
        joined.add(group)
        self._groups.setdefault(group, {})[connection_id] = connection
        return True

    def leave(self, connection_id: str, group: str) -> bool:
        """Take a connection out of a group, in which it need not be; False if it is not of this process."""
        if connection_id not in self.connections:
            return False
        joined = self._joined.get(connection_id)
        if joined is not None:
            joined.discard(group)
            if not joined:
                del self._joined[connection_id]
        _leave(self._groups, group, connection_id)
        return True

    def of(self, audience: Audience) -> tuple[HubConnection, ...]:
        """The connections of this process that an audience means, each once, as they are at this moment."""
        found = self._named(audience)
        if not audience.excluded:
            return tuple(found.values())
        excluded = set(audience.excluded)
        return tuple(connection for name, connection in found.items() if name not in excluded)

    def _named(self, audience: Audience) -> dict[str, HubConnection]:
        match audience.kind:
            case "all":
                return self.connections
            case "connections":
                known = self.connections
                return {name: known[name] for name in audience.names if name in known}
            case "users":
                return _together(self._users, audience.names)
            case _:
                return _together(self._groups, audience.names)


class Groups:
    """Adds connections to groups and takes them out: `hub.groups`, `HubServer.groups`."""

    __slots__ = ("_post",)

    def __init__(self, post: Post) -> None:
        self._post = post

    async def add(self, connection_id: str, group: str) -> None:
        """From now on the connection receives what is sent to the group.

        Raises:
            Refused: the connection is in as many groups as it may be.
        """
        await self._post.regroup(connection_id, group, joins=True)

    async def remove(self, connection_id: str, group: str) -> None:
        """From now on the connection does not receive what is sent to the group."""
        await self._post.regroup(connection_id, group, joins=False)


def _leave(sets: dict[str, dict[str, HubConnection]], name: str, connection_id: str) -> None:
    members = sets.get(name)
    if members is not None:
        members.pop(connection_id, None)
        if not members:
            del sets[name]


def _together(sets: dict[str, dict[str, HubConnection]], names: Iterable[str]) -> dict[str, HubConnection]:
    found: dict[str, HubConnection] = {}
    for name in names:
        found.update(sets.get(name, {}))
    return found
