"""How a connection ends for good, and who is told of it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import structlog

from stakewire.net.signalr.connection_state import CLOSED, HANDSHAKE, TRY_AGAIN_LATER
from stakewire.net.signalr.counts import CloseReason

if TYPE_CHECKING:
    from stakewire.net.signalr.connection import HubConnection

log = structlog.get_logger("stakewire.net.signalr")

_TOO_SLOW = "The client does not read what is sent to it."


def close_slow(connection: HubConnection) -> None:
    """End it because its client does not take what is sent to it; the client may come back."""
    connection.close(_TOO_SLOW, allow_reconnect=True, code=TRY_AGAIN_LATER, reason=CloseReason.SLOW)


def finish(connection: HubConnection, error: str | None, reason: CloseReason) -> None:
    """It has ended for the hub; its transport may have some last bytes to send."""
    was, connection.phase = connection.phase, CLOSED
    registry = connection.registry
    registry.counts.closes[reason] += 1
    connection.since = registry.clock.monotonic()
    connection.error = error
    connection.backlog = connection.splitter = connection.handshake = connection.resumption = None
    if connection.link is None:
        registry.forget(connection)
    else:
        registry.wheel.watch(connection, connection.since + registry.options.close_seconds)
    connection.ready()
    watchers, connection.watchers = connection.watchers, ()
    for watcher in watchers:
        watcher.connection_closed(connection)
    if was > HANDSHAKE and not connection.connecting:
        tell_disconnected(connection)


def tell_disconnected(connection: HubConnection) -> None:
    """Tell the hub, which has taken the connection in before."""
    work = connection.registry.dispatcher.disconnected(connection, connection.error)
    if work is not None:
        connection.registry.spawn(_await(work))


async def _await(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:
        log.exception("hub failed at the end of a connection")
