"""How a connection opens: the client shakes hands, then the hub takes it in (HubProtocol.md, "Overview")."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import structlog

from stakewire.net.signalr.connection_state import CLOSED, NORMAL, OPEN, STARTING
from stakewire.net.signalr.counts import CloseReason
from stakewire.net.signalr.ending import finish, tell_disconnected
from stakewire.net.signalr.handshake import Handshake
from stakewire.net.signalr.intake import go_on, pause
from stakewire.wire.signalr.errors import HandshakeRefused
from stakewire.wire.signalr.handshake import write_answer
from stakewire.wire.signalr.messages import Ping
from stakewire.wire.signalr.shared import SharedMessage, wrap

if TYPE_CHECKING:
    from stakewire.net.signalr.connection import HubConnection

log = structlog.get_logger("stakewire.net.signalr")

PING = SharedMessage(Ping())
"""The same for everyone, so it is encoded once per variant."""

_SHAKEN = write_answer()
_STATEFUL_VERSION = 2


def shake_hands(connection: HubConnection, handshake: Handshake, data: bytes) -> None:
    """Take bytes of the client's first words; if they are complete, answer them and let the hub begin."""
    link = connection.link
    assert link is not None
    try:
        agreed = handshake.feed(data)
    except HandshakeRefused as refused:
        refuse_handshake(connection, refused.message)
        return
    if agreed is None:
        return
    connection.handshake = None
    connection.protocol, version, rest = agreed
    connection.variant = variant = link.variant(connection.protocol)
    if version < _STATEFUL_VERSION:
        connection.resumption = None
    # A ping at once: some vendors tell their partners to wait for one after the handshake.
    shaken = wrap(variant, _SHAKEN)
    link.send(shaken if link.inherent_keep_alive else shaken + PING.frame(variant))
    connection.phase = STARTING
    registry = connection.registry
    registry.wheel.watch(connection, connection.sent_at + registry.options.keep_alive_seconds)
    connection.backlog = []
    _start(connection)
    if rest:
        connection.receive(rest)


def refuse_handshake(connection: HubConnection, error: str) -> None:
    """Answer the client why there will be no connection, and end it."""
    assert connection.link is not None
    connection.link.send(wrap(connection.variant, write_answer(error)))
    connection.link.end(NORMAL)
    finish(connection, error, CloseReason.REFUSED)


def _start(connection: HubConnection) -> None:
    """Let the hub take the connection; its messages wait until it has."""
    try:
        work = connection.registry.dispatcher.connected(connection)
    except Exception:
        _hub_failed(connection)
        return
    if work is None:
        _started(connection)
    else:
        connection.connecting = True
        pause(connection)
        connection.registry.spawn(_wait_started(connection, work))


async def _wait_started(connection: HubConnection, work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:
        _hub_failed(connection)
    connection.connecting = False
    if connection.phase == CLOSED:
        tell_disconnected(connection)
    else:
        _started(connection)


def _started(connection: HubConnection) -> None:
    if connection.phase == STARTING:
        connection.phase = OPEN
        go_on(connection)


def _hub_failed(connection: HubConnection) -> None:
    log.exception("hub could not take a connection", connection=connection.id)
    connection.close("Connection closed with an error.")
