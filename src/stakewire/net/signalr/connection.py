"""One client of a hub, whatever its transport: what dispatchers, groups and topics deal with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from stakewire.net.signalr.counts import CloseReason
from stakewire.net.signalr.handshake import CANCELED, Handshake
from stakewire.net.signalr.stateful import StatefulEnd
from stakewire.wire.signalr.errors import HandshakeRefused, MessageTooLarge, ProtocolError
from stakewire.wire.signalr.handshake import write_answer
from stakewire.wire.signalr.messages import Ack, Close, HubMessage, Ping, Sequence, is_tracked
from stakewire.wire.signalr.protocol import JSON, HubProtocol
from stakewire.wire.signalr.shared import SharedMessage, Variant, wrap
from stakewire.wire.signalr.splitters import Splitter

if TYPE_CHECKING:
    from stakewire.net.signalr.auth import Principal
    from stakewire.net.signalr.links.link import Link
    from stakewire.net.signalr.registry import Registry

log = structlog.get_logger("stakewire.net.signalr")

_NEGOTIATED, _HANDSHAKE, _STARTING, _OPEN, _CLOSED = range(5)
_PING = SharedMessage(Ping())
_SHAKEN = write_answer()
_STATEFUL_VERSION = 2
_TOO_SLOW = "The client does not read what is sent to it."
_SILENT = "The client sent nothing, not even a ping, for too long."
_NORMAL, _TOO_BIG, _TRY_AGAIN_LATER = 1000, 1009, 1013  # RFC 6455 section 7.4.1


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


class HubConnection:
    """One client: its handshake, its messages both ways, its deadlines and its end.

    Negotiated, it waits for a transport; with one, for the handshake; then its messages go to the hub's
    dispatcher. With stateful reconnect it outlives the loss of its transport, for a time.

    Attributes:
        id: its public name.
        token: the secret name that its requests carry; None if it came without negotiation.
        principal: whom it belongs to; renewed by later requests of the same user.
        protocol: chosen by the handshake.
        link: the transport that serves it now; None while there is none.
        variant: how its frames are made.
        sent_at: monotonic time of the last send; whoever writes to the link's transport directly sets it,
            which saves keep-alive pings.
        due: the wheel's own.
    """

    __slots__ = (
        "_backlog",
        "_busy_since",
        "_connecting",
        "_error",
        "_handshake",
        "_held",
        "_items",
        "_methods",
        "_paused",
        "_phase",
        "_pings",
        "_received_at",
        "_registry",
        "_since",
        "_splitter",
        "_stateful",
        "_taking",
        "_waiters",
        "_watchers",
        "due",
        "id",
        "link",
        "principal",
        "protocol",
        "sent_at",
        "token",
        "variant",
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
        self._registry = registry
        self._phase = _NEGOTIATED
        self._since = self.sent_at = self._received_at = registry.clock.monotonic()
        self._busy_since = inf
        self._handshake: Handshake | None = None
        self._splitter: Splitter | None = None
        self._backlog: list[bytes] | None = None  # records that wait until reading goes on
        self._held = self._paused = self._taking = self._pings = self._connecting = False
        self._error: str | None = None
        self._methods = 0
        self._items: dict[Any, Any] | None = None
        self._watchers: tuple[Watcher, ...] = ()
        self._waiters: list[asyncio.Future[None]] | None = None
        self._stateful = StatefulEnd(registry.options.stateful_buffer_bytes) if stateful else None
        registry.wheel.watch(self, self._since + registry.options.disconnect_seconds)

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
        return self._phase == _CLOSED

    @property
    def stateful(self) -> bool:
        """Sent messages are numbered and kept: nothing may go past `send`, `send_shared`, `send_frame`."""
        return self._stateful is not None

    @property
    def busy(self) -> bool:
        """A state sent now would wait: unsent bytes, a full stateful buffer, or no transport."""
        link, stateful = self.link, self._stateful
        return link is None or link.busy or (stateful is not None and stateful.sends.full)

    @property
    def busy_since(self) -> float:
        """The monotonic time since which sent bytes wait; inf if none do."""
        return self._busy_since

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
        if self._phase not in (_STARTING, _OPEN):
            return
        link, stateful = self.link, self._stateful
        too_much = False
        if stateful is not None:
            stateful.sends.sent(frame)
            too_much = stateful.sends.hopeless
        if link is not None:
            waited = link.busy
            link.send(frame)
            self.sent_at = self._registry.clock.monotonic()
            too_much = too_much or (waited and link.unsent > self._registry.options.max_unsent_bytes)
        counts = self._registry.counts
        counts.sent += 1
        counts.sent_bytes += len(frame)
        if too_much:
            self._too_slow()

    async def drained(self) -> None:
        """Wait until the client has taken what was sent, or the connection has ended."""
        while self.busy and self._phase != _CLOSED:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            await waiter

    def close(
        self,
        error: str | None = None,
        *,
        allow_reconnect: bool = False,
        code: int = _NORMAL,
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
        if self._phase == _CLOSED:
            return
        if link is not None:
            if self._phase != _HANDSHAKE:
                message = Close(error=error, allow_reconnect=allow_reconnect)
                link.send(wrap(self.variant, self.protocol.write(message)))
            link.end(code)
        self._finish(error, reason)

    def method_started(self) -> None:
        """A hub method runs for this client: its silence meanwhile is no sign of death."""
        self._methods += 1

    def method_ended(self) -> None:
        """The counterpart of `method_started`."""
        self._methods -= 1
        self._received_at = self._registry.clock.monotonic()

    def hold_reading(self, hold: bool) -> None:
        """Take no further message from the client, or go on; what has arrived already waits in order."""
        if hold == self._held:
            return
        self._held = hold
        if hold:
            self._pause()
        else:
            self._go_on()

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` when this connection can take more, and when it ends."""
        if watcher not in self._watchers:
            self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell `watcher` no more."""
        self._watchers = tuple(other for other in self._watchers if other is not watcher)

    # For the routes.

    @property
    def waits(self) -> bool:
        """It was negotiated and has had no transport yet."""
        return self._phase == _NEGOTIATED

    @property
    def resumable(self) -> bool:
        """Its WebSocket may be replaced by a new one."""
        return self._stateful is not None and self._phase == _OPEN

    def attach(self, link: Link) -> None:
        """Its first transport has come; now the client has to shake hands."""
        now = self._registry.clock.monotonic()
        options = self._registry.options
        self.link = link
        self.variant = link.variant(JSON)
        self._phase = _HANDSHAKE
        self._handshake = Handshake(options.protocols, link.transfer_formats)
        self._since = self.sent_at = self._received_at = now
        self._registry.claim(self)
        self._registry.wheel.watch(self, now + options.handshake_seconds)
        self._watch_expiry(now)

    def resume(self, link: Link) -> None:
        """A new WebSocket takes the place of the lost one; what was not acknowledged is sent again."""
        stateful, old = self._stateful, self.link
        assert stateful is not None
        if old is not None:
            old.abort()
        self.link = link
        self.variant = link.variant(self.protocol)
        self._busy_since = inf
        self._splitter = None
        self._received_at = self.sent_at = self._registry.clock.monotonic()
        sequence_id, frames = stateful.resume()
        link.send(wrap(self.variant, self.protocol.write(Sequence(sequence_id))))
        for frame in frames:
            link.send(frame)
        self._paused = False
        if self._held:
            self._pause()
        self._ready()

    def renew(self, principal: Principal) -> None:
        """A later request proved who it is from; a token with a later end prolongs the connection's life."""
        self.principal = principal
        self._watch_expiry(self._registry.clock.monotonic())

    def abort(self) -> None:
        """End it now, without a word to the client."""
        link = self.link
        if link is not None:
            link.abort()
            self.link_lost(link, clean=True)
        elif self._phase != _CLOSED:
            self._finish(None, CloseReason.STOPPING)

    # For the link (LinkOwner).

    def link_looks_at(self, at: float) -> None:
        """The link has a deadline of its own."""
        self._registry.wheel.watch(self, at)

    def link_time(self) -> float:
        """The monotonic time."""
        return self._registry.clock.monotonic()

    def receive(self, data: bytes) -> None:
        """Bytes of hub messages, in order, cut anywhere."""
        if self._phase == _CLOSED:
            return
        self._received_at = self._registry.clock.monotonic()
        self._registry.counts.received_bytes += len(data)
        if self._handshake is not None:
            self._shake_hands(self._handshake, data)
            return
        if self._splitter is None:
            self._splitter = self.protocol.splitter(self._registry.options.max_message_bytes)
        try:
            records = self._splitter.feed(data)
        except ProtocolError as error:
            self._refuse(error)
            return
        if self._backlog is None:
            self._take(records)
        else:
            self._backlog += records

    def link_busy(self, link: Link) -> None:
        """Sent bytes wait from here on; the client has `send_stall_seconds` to take them."""
        if link is self.link:
            now = self._registry.clock.monotonic()
            self._busy_since = now
            self._registry.wheel.watch(self, now + self._registry.options.send_stall_seconds)
            for watcher in self._watchers:
                watcher.connection_busy(self)

    def link_drained(self, link: Link) -> None:
        """Nothing waits any more."""
        if link is self.link:
            self._busy_since = inf
            self._ready()

    def link_lost(self, link: Link, *, clean: bool) -> None:
        """The transport is gone: the end, unless the client may come back to this very connection."""
        if link is not self.link:
            return
        self.link = None
        if self._phase == _CLOSED:
            self._registry.forget(self)
        elif self.resumable and not clean:
            self._since = self._registry.clock.monotonic()
            self._registry.wheel.watch(self, self._since + self._registry.options.disconnect_seconds)
        else:
            reason = CloseReason.CLIENT if clean else CloseReason.LOST
            self._finish(None if clean else "The client's transport was lost.", reason)

    # The handshake.

    def _shake_hands(self, handshake: Handshake, data: bytes) -> None:
        link = self.link
        assert link is not None
        try:
            agreed = handshake.feed(data)
        except HandshakeRefused as refused:
            self._cancel_handshake(refused.message)
            return
        if agreed is None:
            return
        self._handshake = None
        self.protocol, version, rest = agreed
        self.variant = link.variant(self.protocol)
        if version < _STATEFUL_VERSION:
            self._stateful = None
        # A ping at once: some vendors tell their partners to wait for one after the handshake.
        shaken = wrap(self.variant, _SHAKEN)
        link.send(shaken if link.inherent_keep_alive else shaken + _PING.frame(self.variant))
        self._phase = _STARTING
        self._registry.wheel.watch(self, self.sent_at + self._registry.options.keep_alive_seconds)
        self._backlog = []
        self._start()
        if rest:
            self.receive(rest)

    def _cancel_handshake(self, error: str) -> None:
        assert self.link is not None
        self.link.send(wrap(self.variant, write_answer(error)))
        self.link.end(_NORMAL)
        self._finish(error, CloseReason.REFUSED)

    def _start(self) -> None:
        """Let the hub take the connection; its messages wait until it has."""
        try:
            work = self._registry.dispatcher.connected(self)
        except Exception:
            self._hub_failed()
            return
        if work is None:
            self._started()
        else:
            self._connecting = True
            self._pause()
            self._registry.spawn(self._wait_started(work))

    async def _wait_started(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:
            self._hub_failed()
        self._connecting = False
        if self._phase == _CLOSED:
            self._tell_disconnected()
        else:
            self._started()

    def _started(self) -> None:
        if self._phase == _STARTING:
            self._phase = _OPEN
            self._go_on()

    def _hub_failed(self) -> None:
        log.exception("hub could not take a connection", connection=self.id)
        self.close("Connection closed with an error.")

    # Messages of the client.

    def _pause(self) -> None:
        if self.link is not None and not self._paused:
            self._paused = True
            self.link.pause_reading()

    def _go_on(self) -> None:
        """Work off what waited, and read on; inside `_take` that goes on by itself."""
        if self._phase == _OPEN and not self._taking:
            backlog, self._backlog = self._backlog, None
            self._take(backlog or [])

    def _take(self, records: list[bytes]) -> None:
        """Deal with records one by one; whoever holds reading stops it between two of them."""
        self._taking = True
        try:
            for index, record in enumerate(records):
                if self._held or self._phase != _OPEN:
                    self._backlog = records[index:]
                    break
                message = self.protocol.parse(record)
                if message is not None:
                    self._take_one(message)
        except ProtocolError as error:
            self._refuse(error)
        finally:
            self._taking = False
        link = self.link
        if self._paused and link is not None and not self._held and self._phase == _OPEN:
            self._paused = False
            link.resume_reading()

    def _take_one(self, message: HubMessage) -> None:
        self._registry.counts.received += 1
        stateful = self._stateful
        if stateful is not None:
            now = self._received_at
            if not stateful.receives.accept(message):
                self._registry.wheel.watch(self, stateful.came(now))
                return
            if isinstance(message, Ack):
                stateful.sends.acked(message.sequence_id)
                self._ready()
                return
            if is_tracked(message):
                self._registry.wheel.watch(self, stateful.came(now))
        if isinstance(message, Ping):
            self._pings = True
        elif isinstance(message, Close):
            assert self.link is not None
            self.link.end(_NORMAL)
            self._finish(message.error, CloseReason.CLIENT)
        elif not isinstance(message, Ack | Sequence):
            self._registry.dispatcher.message(self, message)

    def _refuse(self, error: ProtocolError) -> None:
        code = _TOO_BIG if isinstance(error, MessageTooLarge) else _NORMAL
        self.close(f"Connection closed with an error. {error.message}", code=code, reason=CloseReason.REFUSED)

    # Time.

    def look(self, now: float) -> float:
        """Act on every deadline up to `now`; for the wheel."""
        link, options = self.link, self._registry.options
        if link is None:
            return self._look_unattached(now)
        due = min(link.look(now), self._look_at_expiry(now))
        if self._phase == _HANDSHAKE:
            limit = self._since + options.handshake_seconds
            if now >= limit:
                self._cancel_handshake(CANCELED)
            due = min(due, limit)
        elif self._phase != _CLOSED:
            due = min(due, self._look_at_life(link, now))
        if self._phase != _CLOSED:
            return due
        if self.link is None:
            return inf
        limit = self._since + options.close_seconds
        if now >= limit:
            link.abort()
            self.link_lost(link, clean=False)
            return inf
        return limit

    def _look_unattached(self, now: float) -> float:
        """Negotiated and never used, or lost and not resumed in time."""
        limit = self._since + self._registry.options.disconnect_seconds
        if self._phase != _CLOSED and now >= limit:
            self._finish("The client did not come back.", CloseReason.LOST)
        return inf if self._phase == _CLOSED else limit

    def _look_at_expiry(self, now: float) -> float:
        expires = self.principal.expires_at
        if expires is None or not self._registry.options.close_at_token_expiry or self._phase == _CLOSED:
            return inf
        left = (expires - self._registry.clock.now()).total_seconds()
        if left <= 0:
            self.close("The access token has expired.", allow_reconnect=True, reason=CloseReason.EXPIRED)
        return now + left

    def _look_at_life(self, link: Link, now: float) -> float:
        """Pings both ways, acknowledgements, and a client that takes nothing."""
        options, stateful = self._registry.options, self._stateful
        due = stall = self._busy_since + options.send_stall_seconds
        if now >= stall:
            self._too_slow()
            return inf
        if stateful is not None:
            if now >= stateful.ack_at:
                number = stateful.take_ack()
                if number is not None:
                    self._send_untracked(Ack(number), now)
            due = min(due, stateful.ack_at)
        if link.inherent_keep_alive:
            return due
        ping_at = self.sent_at + options.keep_alive_seconds
        if now >= ping_at:
            if not link.busy:
                link.send(_PING.frame(self.variant))
            self.sent_at = now
            ping_at = now + options.keep_alive_seconds
        dead_at = inf
        if self._pings and not self._methods and not self._held:
            dead_at = self._received_at + options.client_timeout_seconds
            if now >= dead_at:
                self.close(_SILENT, allow_reconnect=True, reason=CloseReason.SILENT)
        return min(due, ping_at, dead_at)

    def _watch_expiry(self, now: float) -> None:
        expires = self.principal.expires_at
        if expires is not None and self._registry.options.close_at_token_expiry:
            left = (expires - self._registry.clock.now()).total_seconds()
            self._registry.wheel.watch(self, now + left)

    # The end.

    def _send_untracked(self, message: HubMessage, now: float) -> None:
        assert self.link is not None
        self.link.send(wrap(self.variant, self.protocol.write(message)))
        self.sent_at = now

    def _ready(self) -> None:
        """Who waited to send may go on."""
        if self.busy and self._phase != _CLOSED:
            return
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        if self._phase != _CLOSED:
            for watcher in self._watchers:
                watcher.connection_ready(self)

    def _too_slow(self) -> None:
        self.close(_TOO_SLOW, allow_reconnect=True, code=_TRY_AGAIN_LATER, reason=CloseReason.SLOW)

    def _finish(self, error: str | None, reason: CloseReason) -> None:
        """It has ended for the hub; its transport may have some last bytes to send."""
        was, self._phase = self._phase, _CLOSED
        registry = self._registry
        registry.counts.closes[reason] += 1
        self._since = registry.clock.monotonic()
        self._error = error
        self._backlog = self._splitter = self._handshake = self._stateful = None
        if self.link is None:
            registry.forget(self)
        else:
            registry.wheel.watch(self, self._since + registry.options.close_seconds)
        self._ready()
        watchers, self._watchers = self._watchers, ()
        for watcher in watchers:
            watcher.connection_closed(self)
        if was > _HANDSHAKE and not self._connecting:
            self._tell_disconnected()

    def _tell_disconnected(self) -> None:
        work = self._registry.dispatcher.disconnected(self, self._error)
        if work is not None:
            self._registry.spawn(_await(work))


async def _await(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:
        log.exception("hub failed at the end of a connection")
