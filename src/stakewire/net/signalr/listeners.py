"""Whom a connection tells what happens to it: the hub's dispatcher, and topics."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

from stakewire.wire.signalr.messages import HubMessage

if TYPE_CHECKING:
    from stakewire.net.signalr.connection import HubConnection


class Dispatcher(Protocol):
    """Who understands hub messages; one per hub."""

    def connected(self, connection: HubConnection) -> Awaitable[None] | None:
        """The handshake is done. Messages wait until this has; an exception closes the connection.

        To return None is the cheap way to say that there is nothing to wait for.
        """

    def message(self, connection: HubConnection, message: HubMessage) -> None:
        """One message (types 1 to 5), in order of arrival; must not block and does not raise."""

    def disconnected(self, connection: HubConnection, error: str | None) -> Awaitable[None] | None:
        """The connection has ended for good; called once for each that `connected` was called for."""


class Watcher(Protocol):
    """Who wants to know when a connection can take more: topics."""

    def connection_busy(self, connection: HubConnection) -> None:
        """From here on sent bytes wait; told from inside the write that was too much."""

    def connection_ready(self, connection: HubConnection) -> None:
        """Nothing waits to be sent any more, or a transport is attached again."""

    def connection_closed(self, connection: HubConnection) -> None:
        """It has ended for good; called before `Dispatcher.disconnected`, also if `unwatch` never was."""
