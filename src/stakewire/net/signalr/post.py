"""Carries what a hub sends to the connections of this process, alone or as one of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from stakewire.net.signalr.clients import InvokeFailed
from stakewire.net.signalr.counts import CloseReason
from stakewire.net.signalr.groups import Audience, Members
from stakewire.net.signalr.session import Sessions
from stakewire.wire.signalr.messages import Invocation
from stakewire.wire.signalr.shared import SharedMessage

log = structlog.get_logger("stakewire.hub")


class LocalClients:
    """The connections of this process: `exchange.LocalHub`, for a hub that has a backplane."""

    def __init__(self, members: Members, sessions: Sessions) -> None:
        self._members = members
        self._sessions = sessions

    def holds(self, connection_id: str) -> bool:
        """The connection is one of this process."""
        return connection_id in self._members.connections

    def deliver(self, audience: Audience, target: str, arguments: Sequence[Any]) -> None:
        """Call `target` on those of the audience that are here, encoded once for all.

        Raises:
            NotWritable: an argument has no form in a hub protocol.
        """
        connections = self._members.of(audience)
        message = Invocation(target, list(arguments))
        if len(connections) == 1:
            connections[0].send(message)
        elif connections:
            shared = SharedMessage(message)
            for connection in connections:
                connection.send_shared(shared)

    def regroup(self, connection_id: str, group: str, *, joins: bool) -> None:
        """Change a membership; of no effect on a connection that is not here.

        Raises:
            Refused: the connection is in as many groups as it may be.
        """
        change = self._members.join if joins else self._members.leave
        change(connection_id, group)

    async def invoke(
        self, connection_id: str, target: str, arguments: Sequence[Any], result: Any, timeout: float | None
    ) -> Any:
        """Ask a connection that is here.

        Raises:
            InvokeFailed: no result came; its `code` says why.
        """
        connection = self._members.connections.get(connection_id)
        if connection is None:
            raise InvokeFailed("there is no such connection", code="CONNECTION_GONE")
        return await self._sessions.ask(connection, target, arguments, result, timeout)

    def missed(self) -> None:
        """Messages of other processes are lost: only clients that come again have a whole picture."""
        log.warning("messages of other processes were missed; clients are sent to reconnect")
        for connection in self._members.of(Audience("all")):
            connection.close(
                "Messages were missed.", allow_reconnect=True, code=1012, reason=CloseReason.MISSED
            )


class LocalPost:
    """The `Post` of a hub that is one process."""

    def __init__(self, local: LocalClients) -> None:
        self._local = local

    async def send(self, audience: Audience, target: str, arguments: Sequence[Any]) -> None:
        """See `Receivers.send`."""
        self._local.deliver(audience, target, arguments)

    async def invoke(
        self, connection_id: str, target: str, arguments: Sequence[Any], result: Any, timeout: float | None
    ) -> Any:
        """See `Receiver.invoke`."""
        return await self._local.invoke(connection_id, target, arguments, result, timeout)

    async def regroup(self, connection_id: str, group: str, *, joins: bool) -> None:
        """See `Groups`."""
        self._local.regroup(connection_id, group, joins=joins)
