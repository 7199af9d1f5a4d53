"""One client of a hub, whatever its transport: what dispatchers, groups and topics deal with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stakewire.net.signalr.auth import Principal
    from stakewire.net.signalr.links.link import Link
    from stakewire.wire.signalr.messages import HubMessage
    from stakewire.wire.signalr.protocol import HubProtocol
    from stakewire.wire.signalr.shared import SharedMessage, Variant


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

    def connection_ready(self, connection: HubConnection) -> None:
        """Nothing waits to be sent any more, or a transport is attached again."""

    def connection_closed(self, connection: HubConnection) -> None:
        """It has ended for good; called before `Dispatcher.disconnected`, also if `unwatch` never was."""


class HubConnection(Protocol):
    """One client.

    Attributes:
        id: its public name; never the secret one that its requests carry.
        principal: whom it belongs to; renewed by later requests of the same user.
        protocol: chosen by the handshake.
        link: the transport that serves it now; None while a stateful reconnect is awaited.
        variant: how its frames are made; read it again after `connection_ready`.
        sent_at: monotonic time of the last send; whoever writes to the link's transport directly sets it,
            which saves keep-alive pings.
    """

    id: str
    principal: Principal
    protocol: HubProtocol
    link: Link | None
    sent_at: float

    @property
    def variant(self) -> Variant: ...
    @property
    def items(self) -> dict[Any, Any]: ...
    @property
    def closed(self) -> bool: ...
    @property
    def stateful(self) -> bool:
        """Sent messages are numbered and kept: nothing may go past `send`, `send_shared`, `send_frame`."""
        ...

    @property
    def busy(self) -> bool:
        """A state sent now would wait: unsent bytes, a full stateful buffer, or no transport."""
        ...

    def send(self, message: HubMessage) -> None: ...
    def send_shared(self, shared: SharedMessage) -> None: ...
    def send_frame(self, frame: bytes, *, tracked: bool = True) -> None:
        """A message that is framed for `variant` already."""

    async def drained(self) -> None: ...
    def close(self, error: str | None = None, *, allow_reconnect: bool = False, code: int = 1000) -> None: ...
    def method_started(self) -> None: ...
    def method_ended(self) -> None: ...
    def hold_reading(self, hold: bool) -> None: ...
    def watch(self, watcher: Watcher) -> None: ...
    def unwatch(self, watcher: Watcher) -> None: ...
