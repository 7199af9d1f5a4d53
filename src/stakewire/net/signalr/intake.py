"""How a client's messages are taken: one by one, in order, and none while the hub holds reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stakewire.net.signalr.connection_state import NORMAL, OPEN, TOO_BIG
from stakewire.net.signalr.counts import CloseReason
from stakewire.net.signalr.ending import finish
from stakewire.net.signalr.stateful import StatefulEnd, send_ack
from stakewire.wire.signalr.errors import MessageTooLarge, ProtocolError
from stakewire.wire.signalr.messages import Ack, Close, HubMessage, Ping, Sequence, is_tracked

if TYPE_CHECKING:
    from stakewire.net.signalr.connection import HubConnection


def take(connection: HubConnection, records: list[bytes]) -> None:
    """Deal with records one by one; whoever holds reading stops it between two of them."""
    connection.taking = True
    try:
        for index, record in enumerate(records):
            if connection.held or connection.phase != OPEN:
                connection.backlog = records[index:]
                break
            message = connection.protocol.parse(record)
            if message is not None:
                _take_one(connection, message, len(record))
    except ProtocolError as error:
        refuse(connection, error)
    finally:
        connection.taking = False
    if connection.paused and connection.link is not None and not connection.held and connection.phase == OPEN:
        connection.paused = False
        connection.link.resume_reading()


def pause(connection: HubConnection) -> None:
    """Have the link read nothing further."""
    if connection.link is not None and not connection.paused:
        connection.paused = True
        connection.link.pause_reading()


def go_on(connection: HubConnection) -> None:
    """Work off what waited, and read on; inside `take` that goes on by itself."""
    if connection.phase == OPEN and not connection.taking:
        backlog, connection.backlog = connection.backlog, None
        take(connection, backlog or [])


def _take_one(connection: HubConnection, message: HubMessage, size: int) -> None:
    connection.registry.counts.received += 1
    resumption = connection.resumption
    if resumption is not None:
        if not resumption.receives.accept(message):
            _acknowledge(connection, resumption, size)
            return
        if isinstance(message, Ack):
            resumption.sends.acked(message.sequence_id)
            connection.ready()
            return
        if is_tracked(message):
            _acknowledge(connection, resumption, size)
    if isinstance(message, Ping):
        connection.pings = True
    elif isinstance(message, Close):
        assert connection.link is not None
        connection.link.end(NORMAL)
        finish(connection, message.error, CloseReason.CLIENT)
    elif not isinstance(message, Ack | Sequence):
        connection.registry.dispatcher.message(connection, message)


def _acknowledge(connection: HubConnection, resumption: StatefulEnd, size: int) -> None:
    """Now if much has come, else within about a second."""
    now = connection.received_at
    due = resumption.came(now, size)
    if due <= now:
        send_ack(connection, resumption, now)
    else:
        connection.registry.wheel.watch(connection, due)


def refuse(connection: HubConnection, error: ProtocolError) -> None:
    """End it because of what its client sent."""
    code = TOO_BIG if isinstance(error, MessageTooLarge) else NORMAL
    text = f"Connection closed with an error. {error.message}"
    connection.close(text, code=code, reason=CloseReason.REFUSED)
