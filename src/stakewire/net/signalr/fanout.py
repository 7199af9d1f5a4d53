"""One message to many connections: framed once per variant, written to those that can take it now."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from stakewire.clock import Clock
from stakewire.net.signalr.counts import HubCounts
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
        place: where it stands among those of its lane that are ready; -1 if it is not.
    """

    __slots__ = ("behind", "connection", "descriptor", "lane", "link", "number", "place", "transport")

    def __init__(self, connection: HubConnection) -> None:
        self.connection = connection
        self.number = 0
        self.behind = False
        self.link: Link | None = None
        self.lane = cast(Lane, None)  # these are set by `FanOut._settle`
        self.transport = cast(asyncio.WriteTransport, None)
        self.descriptor = -1
        self.place = -1


class Lane:
    """Subscribers of one variant that are written to in one way.

    Attributes:
        sender: None for those that only their connection can send to: it counts and keeps messages for
            stateful reconnect, or has to wait for polls. They are always `ready`.
        ready: with no unsent bytes; in no order.
        descriptors: their sockets, in the same order.
        late: the others.
    """

    __slots__ = ("descriptors", "late", "ready", "sender", "variant")

    def __init__(self, variant: Variant, sender: Sender | None) -> None:
        self.variant = variant
        self.sender = sender
        self.ready: list[Subscriber] = []
        self.descriptors = array("I")
        self.late: set[Subscriber] = set()

    def enter(self, subscriber: Subscriber) -> None:
        """Take a subscriber in, among those that it belongs to now."""
        subscriber.lane = self
        if self.sender is not None and subscriber.connection.busy:
            self.late.add(subscriber)
        else:
            self._put_in(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Let a subscriber go."""
        if subscriber.place < 0:
            self.late.remove(subscriber)
        else:
            self._take_out(subscriber)

    def fall_behind(self, subscriber: Subscriber) -> None:
        """Its transport has unsent bytes."""
        if self.sender is not None and subscriber.place >= 0:
            self._take_out(subscriber)
            self.late.add(subscriber)

    def catch_up(self, subscriber: Subscriber) -> None:
        """It has none any more."""
        if subscriber.place < 0:
            self.late.remove(subscriber)
            self._put_in(subscriber)

    def _put_in(self, subscriber: Subscriber) -> None:
        subscriber.place = len(self.ready)
        self.ready.append(subscriber)
        self.descriptors.append(max(subscriber.descriptor, 0))

    def _take_out(self, subscriber: Subscriber) -> None:
        """Take it out of the ready ones; the last of them takes its place."""
        place, subscriber.place = subscriber.place, -1
        last, descriptor = self.ready.pop(), self.descriptors.pop()
        if last is not subscriber:
            self.ready[place], self.descriptors[place] = last, descriptor
            last.place = place


class FanOut:
    """The subscribers of one topic.

    Attributes:
        sent: messages written to sockets or handed to connections.
        sent_bytes: of these, framed.
    """

    def __init__(self, sender: Sender, clock: Clock, counts: HubCounts) -> None:
        self.sent = self.sent_bytes = 0
        self._counts = counts
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
            subscriber.lane.leave(subscriber)
        return subscriber

    def busy(self, connection: HubConnection) -> None:
        """Its transport has unsent bytes: nothing may be written past it until `ready`."""
        subscriber = self._members.get(connection)
        if subscriber is not None:
            subscriber.lane.fall_behind(subscriber)

    def ready(self, connection: HubConnection) -> Subscriber | None:
        """It can be written to again, perhaps by another transport than before."""
        subscriber = self._members.get(connection)
        if subscriber is not None:
            if subscriber.link is not connection.link:
                subscriber.lane.leave(subscriber)
                self._settle(subscriber)
            elif not connection.busy:
                subscriber.lane.catch_up(subscriber)
        return subscriber

    def send(self, message: SharedMessage | NumberedMessage, busy: Callable[[Subscriber], None]) -> None:
        """Send to every subscriber that can take it now, and call `busy` for each of the others.

        Raises:
            NotWritable: a value in it has no form in a variant that is wanted; then nobody was sent it.
        """
        lanes = [lane for lane in self._lanes.values() if lane.ready or lane.late]
        for lane in lanes:
            if isinstance(message, SharedMessage):
                message.frame(lane.variant)
            else:
                message.halves(lane.variant)
        now = self._clock.monotonic()
        stamp = now - self._stamped_at >= STAMP_SECONDS
        if stamp:
            self._stamped_at = now
        for lane in lanes:
            if lane.sender is None:
                self._send_by_connections(lane, message, busy)
                continue
            late = tuple(lane.late)
            if lane.ready:
                if stamp:
                    for subscriber in lane.ready:
                        subscriber.connection.sent_at = now
                self._write(lane.variant, lane.sender, lane, message)
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
        self, variant: Variant, sender: Sender, lane: Lane, message: SharedMessage | NumberedMessage
    ) -> None:
        targets, descriptors = lane.ready[:], lane.descriptors[:]  # writing may make some of them late
        if isinstance(message, SharedMessage):
            frame = message.frame(variant)
            self._count_written(len(targets), len(frame))
            sender.send(targets, descriptors, frame)
            return
        before, after = message.halves(variant)
        make = slot_maker(variant)
        slots = []
        for subscriber in targets:
            number = subscriber.number
            slots.append(make(number))
            subscriber.number = number + 1
        self._count_written(len(targets), len(before) + len(slots[0]) + len(after))
        sender.send_parts(targets, descriptors, before, slots, after)

    def _send_by_connections(
        self, lane: Lane, message: SharedMessage | NumberedMessage, busy: Callable[[Subscriber], None]
    ) -> None:
        for subscriber in tuple(lane.ready):
            if subscriber.connection.busy:
                busy(subscriber)
            else:
                self.send_to(subscriber, message)

    def _count_written(self, messages: int, size: int) -> None:
        """What went past connections, which count for themselves."""
        self._count(messages, size)
        self._counts.sent += messages
        self._counts.sent_bytes += messages * size

    def _count(self, messages: int, size: int) -> None:
        self.sent += messages
        self.sent_bytes += messages * size

    def _settle(self, subscriber: Subscriber) -> None:
        """Find the lane that the connection belongs to now."""
        connection = subscriber.connection
        link = subscriber.link = connection.link
        transport = None if link is None else link.transport
        sender: Sender | None = None
        if transport is not None and not connection.stateful:
            subscriber.transport = transport
            subscriber.descriptor = _descriptor(transport)
            sender = self._sender if subscriber.descriptor >= 0 or not self._sender.direct else WRITING
        key = (connection.variant, sender)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(*key)
        lane.enter(subscriber)


def _descriptor(transport: asyncio.WriteTransport) -> int:
    """The socket's descriptor where bytes may go past the transport; -1 where they would be encrypted."""
    socket = transport.get_extra_info("socket")
    if socket is None or transport.get_extra_info("sslcontext") is not None:
        return -1
    descriptor: int = socket.fileno()
    return descriptor
