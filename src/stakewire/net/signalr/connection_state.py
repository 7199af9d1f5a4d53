"""What is known of one connection; the modules beside this one act on it, `connection` is its face."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from stakewire.net.signalr.handshake import Handshake
from stakewire.net.signalr.stateful import StatefulEnd
from stakewire.wire.signalr.protocol import JSON, HubProtocol
from stakewire.wire.signalr.shared import Variant
from stakewire.wire.signalr.splitters import Splitter

if TYPE_CHECKING:
    from stakewire.net.signalr.auth import Principal
    from stakewire.net.signalr.links.link import Link
    from stakewire.net.signalr.listeners import Watcher
    from stakewire.net.signalr.registry import Registry

# A connection passes through these in this order; the first and any later one may be followed by the last.
NEGOTIATED, HANDSHAKE, STARTING, OPEN, CLOSED = range(5)

NORMAL, TOO_BIG, TRY_AGAIN_LATER = 1000, 1009, 1013  # RFC 6455 section 7.4.1


class ConnectionState:
    """The fields of a connection: one flat object, because a process holds tens of thousands of them.

    Attributes:
        id: its public name.
        token: the secret name that its requests carry; None if it came without negotiation.
        principal: whom it belongs to; renewed by later requests of the same user.
        protocol: chosen by the handshake.
        link: the transport that serves it now; None while there is none.
        variant: how its frames are made.
        sent_at: monotonic time of the last send; whoever writes to the link's transport directly sets it,
            which saves keep-alive pings.
        busy_since: monotonic time since which sent bytes wait; inf if none do.
        due: the wheel's own.

    The others are for the modules that make up a connection (`opening`, `intake`, `deadlines`, `ending`);
    hubs and topics leave them alone. Times are monotonic:

        registry: what it shares with the hub's other connections.
        phase: how far it has come, NEGOTIATED to CLOSED.
        since: when the phase, or the time without a transport, began.
        received_at: when the client last sent something, or a hub method last ended.
        handshake: gathers the client's first words; None before and after.
        splitter: cuts what follows into records; None until there is something to cut.
        backlog: records that wait until reading goes on; None if they are to be taken as they come.
        held: the hub wants no further message now.
        paused: the link was told to read nothing.
        taking: records are being taken, further up in the stack of calls.
        pings: the client has sent a ping, so it will go on doing that.
        connecting: the dispatcher still takes the connection in.
        methods: how many hub methods run for the client.
        resumption: numbers and keeps messages; None without stateful reconnect.
        watchers: who is told when the client can take more.
        waiters: who waits for that once, for `drained`.
        error: why it has ended, for the hub.
    """

    __slots__ = (
        "backlog",
        "busy_since",
        "connecting",
        "due",
        "error",
        "handshake",
        "held",
        "id",
        "link",
        "methods",
        "paused",
        "phase",
        "pings",
        "principal",
        "protocol",
        "received_at",
        "registry",
        "resumption",
        "sent_at",
        "since",
        "splitter",
        "taking",
        "token",
        "variant",
        "waiters",
        "watchers",
    )

    def __init__(
        self,
        registry: Registry,
        connection_id: str,
        token: str | None,
        principal: Principal,
        *,
        stateful: bool,
    ) -> None:
        self.id = connection_id
        self.token = token
        self.principal = principal
        self.protocol: HubProtocol = JSON
        self.link: Link | None = None
        self.variant = Variant.RAW_JSON
        self.due = inf
        self.registry = registry
        self.phase = NEGOTIATED
        self.since = self.sent_at = self.received_at = registry.clock.monotonic()
        self.busy_since = inf
        self.handshake: Handshake | None = None
        self.splitter: Splitter | None = None
        self.backlog: list[bytes] | None = None
        self.held = self.paused = self.taking = self.pings = self.connecting = False
        self.methods = 0
        self.resumption = StatefulEnd(registry.options.stateful_buffer_bytes) if stateful else None
        self.watchers: tuple[Watcher, ...] = ()
        self.waiters: list[asyncio.Future[None]] | None = None
        self.error: str | None = None
