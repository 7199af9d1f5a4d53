"""A connection's deadlines: what is overdue is done, or ends it; the wheel asks when to look again."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from stakewire.net.signalr.connection_state import CLOSED, HANDSHAKE
from stakewire.net.signalr.counts import CloseReason
from stakewire.net.signalr.ending import close_slow, finish
from stakewire.net.signalr.handshake import CANCELED
from stakewire.net.signalr.opening import PING, refuse_handshake
from stakewire.net.signalr.stateful import send_ack

if TYPE_CHECKING:
    from datetime import datetime

    from stakewire.net.signalr.connection import HubConnection
    from stakewire.net.signalr.links.link import Link

_SILENT = "The client sent nothing, not even a ping, for too long."


def look(connection: HubConnection, now: float) -> float:
    """Act on every deadline of the connection up to `now`; the time of the next one, inf for none."""
    link, options = connection.link, connection.registry.options
    if link is None:
        return _look_unattached(connection, now)
    due = link.look(now)
    expires = connection.principal.expires_at
    if expires is not None:
        due = min(due, _look_at_expiry(connection, expires, now))
    if connection.phase == HANDSHAKE:
        limit = connection.since + options.handshake_seconds
        if now >= limit:
            refuse_handshake(connection, CANCELED)
        due = min(due, limit)
    elif connection.phase != CLOSED:
        due = min(due, _look_at_life(connection, link, now))
    if connection.phase != CLOSED:
        return due
    if connection.link is None:
        return inf
    limit = connection.since + options.close_seconds
    if now >= limit:
        link.abort()
        connection.link_lost(link, clean=False)
        return inf
    return limit


def watch_expiry(connection: HubConnection, now: float) -> None:
    """Have the end of the client's token noticed."""
    expires, registry = connection.principal.expires_at, connection.registry
    if expires is not None and registry.options.close_at_token_expiry:
        left = (expires - registry.clock.now()).total_seconds()
        registry.wheel.watch(connection, now + left)


def _look_unattached(connection: HubConnection, now: float) -> float:
    """Negotiated and never used, or lost and not resumed in time."""
    limit = connection.since + connection.registry.options.disconnect_seconds
    if connection.phase != CLOSED and now >= limit:
        finish(connection, "The client did not come back.", CloseReason.LOST)
    return inf if connection.phase == CLOSED else limit


def _look_at_expiry(connection: HubConnection, expires: datetime, now: float) -> float:
    registry = connection.registry
    if not registry.options.close_at_token_expiry or connection.phase == CLOSED:
        return inf
    left = (expires - registry.clock.now()).total_seconds()
    if left <= 0:
        connection.close("The access token has expired.", allow_reconnect=True, reason=CloseReason.EXPIRED)
    return now + left


def _look_at_life(connection: HubConnection, link: Link, now: float) -> float:
    """Pings both ways, acknowledgements, and a client that takes nothing."""
    options, resumption = connection.registry.options, connection.resumption
    due = stall = connection.busy_since + options.send_stall_seconds
    if now >= stall:
        close_slow(connection)
        return inf
    if resumption is not None:
        if now >= resumption.ack_at:
            send_ack(connection, resumption, now)
        due = min(due, resumption.ack_at)
    if link.inherent_keep_alive:
        return due
    ping_at = connection.sent_at + options.keep_alive_seconds
    if now >= ping_at:
        if not link.busy:
            link.send(PING.frame(connection.variant))
        connection.sent_at = now
        ping_at = now + options.keep_alive_seconds
    dead_at = inf
    if connection.pings and not connection.methods and not connection.held:
        dead_at = connection.received_at + options.client_timeout_seconds
        if now >= dead_at:
            connection.close(_SILENT, allow_reconnect=True, reason=CloseReason.SILENT)
    return min(due, ping_at, dead_at)
