"""One message to many connections: framed once per variant, written to those that can take it now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from stakewire.clock import Clock
from stakewire.net.signalr.sending import WRITING, Sender
from stakewire.wire.signalr.numbered import NumberedMessage, slot_maker
from stakewire.wire.signalr.shared import SharedMessage, Variant

if TYPE_CHECKING:
    from stakewire.net.signalr.connection import HubConnection
    from stakewire.net.signalr.links.link import Link

STAMP_SECONDS: Final = 1.0
"""How often connections are told that they were sent something, so that they need no ping."""


class Subscriber:
    """A connection's place in a fan-out.

    Attributes:
        number: how many messages it was sent.
        behind: it was passed over, and the newest state is owed to it.
    """

    __slots__ = ("behind", "connection", "descriptor", "lane", "link", "number", "place", "transport")

    def __init__(self, connection: HubConnection) -> None:
        self.connection = connection
        self.number = 0
        self.behind = False
        self.link = cast("Link", None)  # these are set by `FanOut._settle`
        self.lane = cast(Lane, None)
        self.transport = cast(asyncio.WriteTransport, None)
        self.descriptor = -1
        self.place = -1


class Lane:
    """Subscribers of one variant that are written to in one way.

    `sender` is None for those that only their connection can send to: it counts and keeps messages for
    stateful reconnect, or has to wait for polls.
    """

    __slots__ = ("sender", "subscribers", "variant")

    def __init__(self, variant: Variant, sender: Sender | None) -> None:
        self.variant = variant
        self.sender = sender
        self.subscribers: list[Subscriber] = []


class FanOut:
    """The subscribers of one topic.

    Attributes:
        sent: messages written to sockets or handed to connections.
        sent_bytes: of these, framed.
    """

    def __init__(self, sender: Sender, clock: Clock) -> None:
        self.sent = self.sent_bytes = 0
        self._sender = sender
        self._clock = clock
        self._members: dict[HubConnection, Subscriber] = {}
        self._lanes: dict[tuple[Variant, Sender | None], Lane] = {}
        self._stamped_at = clock.monotonic() - STAMP_SECONDS

    def __len__(self) -> int:
        return len(self._members)

    def connections(self) -> list[HubConnection]:
        """Who has a place now."""
        return list(self._members)

    def find(self, connection: HubConnection) -> Subscriber | None:
        """The connection's place, if it has one."""
        return self._members.get(connection)

    def add(self, connection: HubConnection) -> Subscriber:
        """Give the connection a place; it must have none."""
        subscriber = self._members[connection] = Subscriber(connection)
        self._settle(subscriber)
        return subscriber

    def remove(self, connection: HubConnection) -> Subscriber | None:
        """Take the connection's place away, at once and for good; None if it had none."""
        subscriber = self._members.pop(connection, None)
        if subscriber is not None:
            self._leave(subscriber)
        return subscriber

    def refresh(self, subscriber: Subscriber) -> None:
        """The connection may have another transport than before."""
        if subscriber.link is not subscriber.connection.link:
            self._leave(subscriber)
            self._settle(subscriber)

    def send(
        self,
        message: SharedMessage | NumberedMessage,
        busy: Callable[[Subscriber], None],
    ) -> None:
        """Send to every subscriber that can take it now, and call `busy` for each of the others.

        Raises:
            NotWritable: a value in it has no form in a variant that is wanted; then nobody was sent it.
        """
        lanes = [lane for lane in self._lanes.values() if lane.subscribers]
        for lane in lanes:
            _ = (
                message.frame(lane.variant)
                if isinstance(message, SharedMessage)
                else message.halves(lane.variant)
            )
        now = self._clock.monotonic()
        stamp = now - self._stamped_at >= STAMP_SECONDS
        if stamp:
            self._stamped_at = now
        for lane in lanes:
            if lane.sender is None:
                self._send_by_connections(lane, message, busy)
                continue
            ready = [subscriber for subscriber in lane.subscribers if not subscriber.link.busy]
            waiting = len(ready) != len(lane.subscribers)
            late = [subscriber for subscriber in lane.subscribers if subscriber.link.busy] if waiting else ()
            self._write(lane.variant, lane.sender, ready, message)
            if stamp:
                for subscriber in ready:
                    subscriber.connection.sent_at = now
            for subscriber in late:
                busy(subscriber)

    def send_to(self, subscriber: Subscriber, message: SharedMessage | NumberedMessage) -> None:
        """Send to one subscriber, whether it can take it now or has to queue it."""
        connection = subscriber.connection
        if isinstance(message, SharedMessage):
            frame = message.frame(connection.variant)
        else:
            frame = message.frame(connection.variant, subscriber.number)
        subscriber.number += 1
        self._count(1, len(frame))
        connection.send_frame(frame)

    def _write(
        self,
        variant: Variant,
        sender: Sender,
        ready: list[Subscriber],
        message: SharedMessage | NumberedMessage,
    ) -> None:
        if not ready:
            return
        if isinstance(message, SharedMessage):
            frame = message.frame(variant)
            self._count(len(ready), len(frame))
            sender.send(ready, frame)
            return
        before, after = message.halves(variant)
        make = slot_maker(variant)
        slots = []
        for subscriber in ready:
            number = subscriber.number
            slots.append(make(number))
            subscriber.number = number + 1
        self._count(len(ready), len(before) + len(slots[0]) + len(after))
        sender.send_parts(ready, before, slots, after)

    def _send_by_connections(
        self, lane: Lane, message: SharedMessage | NumberedMessage, busy: Callable[[Subscriber], None]
    ) -> None:
        for subscriber in tuple(lane.subscribers):
            if subscriber.connection.busy:
                busy(subscriber)
            else:
                self.send_to(subscriber, message)

    def _count(self, messages: int, size: int) -> None:
        self.sent += messages
        self.sent_bytes += messages * size

    def _settle(self, subscriber: Subscriber) -> None:
        """Find the lane that the connection belongs to now."""
        connection = subscriber.connection
        link = connection.link
        transport = None if link is None else link.transport
        sender: Sender | None = None
        subscriber.link = cast("Link", link)
        if transport is not None and not connection.stateful:
            subscriber.transport = transport
            subscriber.descriptor = _descriptor(transport)
            sender = self._sender if subscriber.descriptor >= 0 or not self._sender.direct else WRITING
        key = (connection.variant, sender)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(*key)
        subscriber.lane, subscriber.place = lane, len(lane.subscribers)
        lane.subscribers.append(subscriber)

    def _leave(self, subscriber: Subscriber) -> None:
        """Take it out of its lane; the last one there takes its place."""
        subscribers = subscriber.lane.subscribers
        last = subscribers.pop()
        if last is not subscriber:
            subscribers[subscriber.place] = last
            last.place = subscriber.place


def _descriptor(transport: asyncio.WriteTransport) -> int:
    """The socket's descriptor where bytes may go past the transport; -1 where they would be encrypted."""
    socket = transport.get_extra_info("socket")
    if socket is None or transport.get_extra_info("sslcontext") is not None:
        return -1
    descriptor: int = socket.fileno()
    return descriptor
