"""One client of a hub, whatever its transport: what dispatchers, groups and topics deal with."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

from stakewire.net.signalr.connection_state import (
    CLOSED,
    HANDSHAKE,
    NEGOTIATED,
    NORMAL,
    OPEN,
    STARTING,
    ConnectionState,
)
from stakewire.net.signalr.counts import CloseReason
from stakewire.net.signalr.deadlines import look, watch_expiry
from stakewire.net.signalr.ending import close_slow, finish
from stakewire.net.signalr.handshake import Handshake
from stakewire.net.signalr.intake import go_on, pause, refuse, take
from stakewire.net.signalr.listeners import Dispatcher, Watcher
from stakewire.net.signalr.opening import shake_hands
from stakewire.wire.signalr.errors import ProtocolError
from stakewire.wire.signalr.messages import Close, HubMessage, Sequence
from stakewire.wire.signalr.protocol import JSON
from stakewire.wire.signalr.shared import SharedMessage, wrap

if TYPE_CHECKING:
    from stakewire.net.signalr.auth import Principal
    from stakewire.net.signalr.links.link import Link
    from stakewire.net.signalr.registry import Registry

__all__ = ["Dispatcher", "HubConnection", "Watcher"]


class HubConnection(ConnectionState):
    """One client: its handshake, its messages both ways, its deadlines and its end.

    Negotiated, it waits for a transport; with one, for the handshake; then its messages go to the hub's
    dispatcher. With stateful reconnect it outlives the loss of its transport, for a time.
    """

    __slots__ = ("_items",)

    def __init__(
        self,
        registry: Registry,
        connection_id: str,
        token: str | None,
        principal: Principal,
        *,
        stateful: bool,
    ) -> None:
        super().__init__(registry, connection_id, token, principal, stateful=stateful)
        self._items: dict[Any, Any] | None = None
        registry.wheel.watch(self, self.since + registry.options.disconnect_seconds)

    def __repr__(self) -> str:
        return f"HubConnection({self.id})"

    # For dispatchers, groups and topics.

    @property
    def items(self) -> dict[Any, Any]:
        """A place for the hub's own values."""
        if self._items is None:
            self._items = {}
        return self._items

    @property
    def closed(self) -> bool:
        """It has ended for good; what is sent goes nowhere."""
        return self.phase == CLOSED

    @property
    def stateful(self) -> bool:
        """Sent messages are numbered and kept: nothing may go past `send`, `send_shared`, `send_frame`."""
        return self.resumption is not None

    @property
    def busy(self) -> bool:
        """A state sent now would wait: unsent bytes, a full stateful buffer, or no transport."""
        link, stateful = self.link, self.resumption
        return link is None or link.busy or (stateful is not None and stateful.sends.full)

    def send(self, message: HubMessage) -> None:
        """Send one message to this client alone, encoded here; see `send_frame`.

        Raises:
            TypeError, ValueError: a value in it cannot be encoded.
        """
        self.send_frame(wrap(self.variant, self.protocol.write(message)))

    def send_shared(self, shared: SharedMessage) -> None:
        """Send a message that others get, too; see `send_frame`."""
        self.send_frame(shared.frame(self.variant))

    def send_frame(self, frame: bytes) -> None:
        """Send one message of types 1 to 5, framed for `variant`, in order.

        It waits if the client is slow; one that leaves more than `max_unsent_bytes` is closed, with
        allowReconnect, unless one message alone is so large. With stateful reconnect it is kept until the
        client acknowledges it, also while there is no transport; a client that lets twice
        `stateful_buffer_bytes` pile up is closed, too.
        """
        if not STARTING <= self.phase <= OPEN:
            return
        link, stateful, registry = self.link, self.resumption, self.registry
        too_much = False
        if stateful is not None:
            stateful.sends.sent(frame)
            too_much = stateful.sends.hopeless
        if link is not None:
            waited = link.busy
            link.send(frame)
            self.sent_at = registry.clock.monotonic()
            too_much = too_much or (waited and link.unsent > registry.options.max_unsent_bytes)
        counts = registry.counts
        counts.sent += 1
        counts.sent_bytes += len(frame)
        if too_much:
            close_slow(self)

    async def drained(self) -> None:
        """Wait until the client has taken what was sent, or the connection has ended."""
        while self.busy and self.phase != CLOSED:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self.waiters is None:
                self.waiters = []
            self.waiters.append(waiter)
            await waiter

    def close(
        self,
        error: str | None = None,
        *,
        allow_reconnect: bool = False,
        code: int = NORMAL,
        reason: CloseReason = CloseReason.HUB,
    ) -> None:
        """End it for good: a Close message (type 7), then the transport's end.

        Args:
            error: shown to the client; must hold nothing of our inside.
            allow_reconnect: clients with automatic reconnect may come back.
            code: for WebSockets (RFC 6455 section 7.4).
            reason: what it counts as.
        """
        link = self.link
        if self.phase == CLOSED:
            return
        if link is not None:
            if self.phase != HANDSHAKE:
                message = Close(error=error, allow_reconnect=allow_reconnect)
                link.send(wrap(self.variant, self.protocol.write(message)))
            link.end(code)
        finish(self, error, reason)

    def method_started(self) -> None:
        """A hub method runs for this client: its silence meanwhile is no sign of death."""
        self.methods += 1

    def method_ended(self) -> None:
        """The counterpart of `method_started`."""
        self.methods -= 1
        self.received_at = self.registry.clock.monotonic()

    def hold_reading(self, hold: bool) -> None:
        """Take no further message from the client, or go on; what has arrived already waits in order."""
        if hold == self.held:
            return
        self.held = hold
        if hold:
            pause(self)
        else:
            go_on(self)

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` when this connection can take more, and when it ends."""
        if watcher not in self.watchers:
            self.watchers = (*self.watchers, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell `watcher` no more."""
        self.watchers = tuple(other for other in self.watchers if other is not watcher)

    # For the routes.

    @property
    def waits(self) -> bool:
        """It was negotiated and has had no transport yet."""
        return self.phase == NEGOTIATED

    @property
    def resumable(self) -> bool:
        """Its WebSocket may be replaced by a new one."""
        return self.resumption is not None and self.phase == OPEN

    def attach(self, link: Link) -> None:
        """Its first transport has come; now the client has to shake hands."""
        now = self.registry.clock.monotonic()
        options = self.registry.options
        self.link = link
        self.variant = link.variant(JSON)
        self.phase = HANDSHAKE
        self.handshake = Handshake(options.protocols, link.transfer_formats)
        self.since = self.sent_at = self.received_at = now
        self.registry.claim(self)
        self.registry.wheel.watch(self, now + options.handshake_seconds)
        watch_expiry(self, now)

    def resume(self, link: Link) -> None:
        """A new WebSocket takes the place of the lost one; what was not acknowledged is sent again."""
        stateful, old = self.resumption, self.link
        assert stateful is not None
        if old is not None:
            old.abort()
        self.link = link
        self.variant = link.variant(self.protocol)
        self.busy_since = inf
        self.splitter = None
        self.received_at = self.sent_at = self.registry.clock.monotonic()
        sequence_id, frames = stateful.resume()
        link.send(wrap(self.variant, self.protocol.write(Sequence(sequence_id))))
        for frame in frames:
            link.send(frame)
        self.paused = False
        if self.held:
            pause(self)
        self.ready()

    def renew(self, principal: Principal) -> None:
        """A later request proved who it is from; a token with a later end prolongs the connection's life."""
        self.principal = principal
        watch_expiry(self, self.registry.clock.monotonic())

    def abort(self) -> None:
        """End it now, without a word to the client."""
        link = self.link
        if link is not None:
            link.abort()
            self.link_lost(link, clean=True)
        elif self.phase != CLOSED:
            finish(self, None, CloseReason.STOPPING)

    # For the link (LinkOwner).

    def link_looks_at(self, at: float) -> None:
        """The link has a deadline of its own."""
        self.registry.wheel.watch(self, at)

    def link_time(self) -> float:
        """The monotonic time."""
        return self.registry.clock.monotonic()

    def receive(self, data: bytes) -> None:
        """Bytes of hub messages, in order, cut anywhere."""
        if self.phase == CLOSED:
            return
        registry = self.registry
        self.received_at = registry.clock.monotonic()
        registry.counts.received_bytes += len(data)
        splitter = self.splitter
        if splitter is None:
            if self.handshake is not None:
                shake_hands(self, self.handshake, data)
                return
            splitter = self.splitter = self.protocol.splitter(registry.options.max_message_bytes)
        try:
            records = splitter.feed(data)
        except ProtocolError as error:
            refuse(self, error)
            return
        if self.backlog is None:
            take(self, records)
        else:
            self.backlog += records

    def link_busy(self, link: Link) -> None:
        """Sent bytes wait from here on; the client has `send_stall_seconds` to take them."""
        if link is self.link:
            now = self.registry.clock.monotonic()
            self.busy_since = now
            self.registry.wheel.watch(self, now + self.registry.options.send_stall_seconds)
            for watcher in self.watchers:
                watcher.connection_busy(self)

    def link_drained(self, link: Link) -> None:
        """Nothing waits any more."""
        if link is self.link:
            self.busy_since = inf
            self.ready()

    def link_lost(self, link: Link, *, clean: bool) -> None:
        """The transport is gone: the end, unless the client may come back to this very connection."""
        if link is not self.link:
            return
        self.link = None
        if self.phase == CLOSED:
            self.registry.forget(self)
        elif self.resumable and not clean:
            self.since = self.registry.clock.monotonic()
            self.registry.wheel.watch(self, self.since + self.registry.options.disconnect_seconds)
        else:
            reason = CloseReason.CLIENT if clean else CloseReason.LOST
            finish(self, None if clean else "The client's transport was lost.", reason)

    # For `opening`, `intake`, `ending` and the wheel.

    def ready(self) -> None:
        """Who waited to send may go on."""
        if self.busy and self.phase != CLOSED:
            return
        waiters, self.waiters = self.waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        if self.phase != CLOSED:
            for watcher in self.watchers:
                watcher.connection_ready(self)

    def look(self, now: float) -> float:
        """Act on every deadline up to `now`; see `Timed`."""
        return look(self, now)
