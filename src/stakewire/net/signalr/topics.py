"""Topics: what many clients subscribe to, and is sent to all of them as the same bytes.

Of a state topic only the newest message matters: a reader with unsent bytes is passed over, and gets the
newest state the moment it has caught up. Of an event topic every message matters: it waits for a slow
reader, within the hub's bound, and beyond that the reader's connection is closed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from stakewire.clock import Clock
from stakewire.errors import InvalidInput, Refused
from stakewire.net.signalr.counts import HubCounts
from stakewire.net.signalr.fanout import FanOut, Subscriber
from stakewire.net.signalr.sending import Sender
from stakewire.wire.signalr.messages import Invocation
from stakewire.wire.signalr.numbered import NumberedMessage
from stakewire.wire.signalr.shared import SharedMessage

if TYPE_CHECKING:
    from stakewire.net.signalr.connection import HubConnection

MAX_TOPICS: Final = 10_000


class Spread(Protocol):
    """Takes a topic's message to every process of the hub, where it ends in `Topic.deliver`."""

    def __call__(self, topic: Topic, arguments: tuple[Any, ...], /) -> Awaitable[None]: ...


class Topic:
    """What the two kinds have in common.

    Attributes:
        name: under which all processes of the hub know it.
        target: the client's method that its messages call.
        published: messages delivered in this process.
        skipped: how often a reader was passed over.
    """

    def __init__(
        self,
        name: str,
        target: str,
        *,
        sender: Sender,
        clock: Clock,
        counts: HubCounts,
        spread: Spread | None = None,
    ) -> None:
        self.name = name
        self.target = target
        self.published = self.skipped = 0
        self._counts = counts
        self._fanout = FanOut(sender, clock, counts)
        self._spread = spread

    def __len__(self) -> int:
        """How many connections of this process are subscribed."""
        return len(self._fanout)

    @property
    def sent(self) -> int:
        """Messages sent to subscribers."""
        return self._fanout.sent

    @property
    def sent_bytes(self) -> int:
        """Bytes of these, framed."""
        return self._fanout.sent_bytes

    async def publish(self, *arguments: Any) -> None:
        """Send to the subscribers of every process of the hub; they must not be changed afterwards.

        Without a backplane all is done when this returns, and nothing was waited for.

        Raises:
            NotWritable: an argument has no form in a protocol that a subscriber speaks.
        """
        if self._spread is None:
            self.deliver(arguments)
        else:
            await self._spread(self, arguments)

    def deliver(self, arguments: tuple[Any, ...]) -> None:
        """Send to the subscribers of this process; never waits.

        Raises:
            NotWritable: as `publish`.
        """
        raise NotImplementedError

    def unsubscribe(self, connection: HubConnection) -> None:
        """Send it nothing further; it need not be subscribed. A connection's end does the same by itself."""
        if self._fanout.remove(connection) is not None:
            connection.unwatch(self)

    def clear(self) -> None:
        """Unsubscribe everybody."""
        for connection in self._fanout.connections():
            self.unsubscribe(connection)

    # Watcher

    def connection_busy(self, connection: HubConnection) -> None:
        self._fanout.busy(connection)

    def connection_ready(self, connection: HubConnection) -> None:
        subscriber = self._fanout.ready(connection)
        if subscriber is not None:
            self._caught_up(subscriber)

    def connection_closed(self, connection: HubConnection) -> None:
        self._fanout.remove(connection)

    def _caught_up(self, subscriber: Subscriber) -> None:
        """The subscriber can take more."""


class StateTopic(Topic):
    """A state that changes; subscribers get the newest one, not every one.

    With `numbered`, the first argument is an object, and in its field of this name every subscriber finds a
    number of its own: 0 in the first message that it is sent, one more in each that follows. Who is passed
    over misses no number.

    Attributes:
        newest: the arguments last published; None before.
    """

    def __init__(
        self,
        name: str,
        target: str,
        *,
        sender: Sender,
        clock: Clock,
        counts: HubCounts,
        spread: Spread | None = None,
        numbered: str | None = None,
    ) -> None:
        super().__init__(name, target, sender=sender, clock=clock, counts=counts, spread=spread)
        self.newest: tuple[Any, ...] | None = None
        self._numbered = numbered
        self._message: SharedMessage | NumberedMessage | None = None

    def subscribe(self, connection: HubConnection) -> None:
        """Send it the newest state now, if there is one, and from now on every one that it has time for.

        Subscribing again makes no second subscription, but the newest state comes again.
        """
        if connection.closed:
            return
        subscriber = self._fanout.find(connection)
        if subscriber is None:
            subscriber = self._fanout.add(connection)
            connection.watch(self)
        self._send_newest(subscriber)

    def deliver(self, arguments: tuple[Any, ...]) -> None:
        """See `Topic`.

        Raises:
            InvalidInput: the topic is numbered, and the first argument is no object.
        """
        message = self._make(arguments)
        self._fanout.send(message, self._pass_over)
        self.newest, self._message = arguments, message
        self.published += 1

    def _make(self, arguments: tuple[Any, ...]) -> SharedMessage | NumberedMessage:
        target, field = self.target, self._numbered
        if field is None:
            return SharedMessage(Invocation(target, list(arguments)))
        if not arguments or not isinstance(arguments[0], Mapping):
            raise InvalidInput("the first argument of a numbered topic is an object")
        named, others = arguments[0], arguments[1:]
        return NumberedMessage(lambda number: Invocation(target, [{**named, field: number}, *others]))

    def _pass_over(self, subscriber: Subscriber) -> None:
        subscriber.behind = True
        self.skipped += 1
        self._counts.skipped += 1

    def _send_newest(self, subscriber: Subscriber) -> None:
        if self._message is None:
            return
        if subscriber.connection.busy:
            subscriber.behind = True
        else:
            subscriber.behind = False
            self._fanout.send_to(subscriber, self._message)

    def _caught_up(self, subscriber: Subscriber) -> None:
        if subscriber.behind:
            self._send_newest(subscriber)


class EventTopic(Topic):
    """Events, of which every subscriber gets every one, in order, or is closed."""

    def subscribe(self, connection: HubConnection) -> None:
        """Send it every event from now on; subscribing again changes nothing."""
        if not connection.closed and self._fanout.find(connection) is None:
            self._fanout.add(connection)
            connection.watch(self)

    def deliver(self, arguments: tuple[Any, ...]) -> None:
        """See `Topic`."""
        message = SharedMessage(Invocation(self.target, list(arguments)))
        self._fanout.send(message, lambda subscriber: self._fanout.send_to(subscriber, message))
        self.published += 1


class Topics:
    """The topics of one hub in one process, by name."""

    def __init__(self, sender: Sender, clock: Clock, counts: HubCounts, spread: Spread | None = None) -> None:
        self.sender = sender
        self._clock = clock
        self._counts = counts
        self._spread = spread
        self._topics: dict[str, StateTopic | EventTopic] = {}

    def __iter__(self) -> Iterator[StateTopic | EventTopic]:
        """Every topic, as of now."""
        return iter(tuple(self._topics.values()))

    def find(self, name: str) -> StateTopic | EventTopic | None:
        """The topic of this name."""
        return self._topics.get(name)

    def state(self, name: str, *, target: str | None = None, numbered: str | None = None) -> StateTopic:
        """The state topic of this name, made when first asked for.

        Args:
            name: the same in every process of the hub.
            target: the client's method that its messages call; the name, unless given.
            numbered: see `StateTopic`.

        Raises:
            Refused: there are `MAX_TOPICS` already, or this one was made in another way.
        """
        topic = self._topics.get(name)
        if topic is None:
            topic = StateTopic(
                name,
                target or name,
                sender=self.sender,
                clock=self._clock,
                counts=self._counts,
                spread=self._spread,
                numbered=numbered,
            )
            self._add(topic)
        elif not isinstance(topic, StateTopic):
            raise Refused(f"the topic {name!r} is one of events", code="TOPIC_EXISTS")
        return topic

    def event(self, name: str, *, target: str | None = None) -> EventTopic:
        """The event topic of this name, made when first asked for; see `state`."""
        topic = self._topics.get(name)
        if topic is None:
            topic = EventTopic(
                name,
                target or name,
                sender=self.sender,
                clock=self._clock,
                counts=self._counts,
                spread=self._spread,
            )
            self._add(topic)
        elif not isinstance(topic, EventTopic):
            raise Refused(f"the topic {name!r} is one of states", code="TOPIC_EXISTS")
        return topic

    def forget(self, name: str) -> None:
        """End the topic: its subscribers are sent nothing further, and its place is free."""
        topic = self._topics.pop(name, None)
        if topic is not None:
            topic.clear()

    def _add(self, topic: StateTopic | EventTopic) -> None:
        if len(self._topics) >= MAX_TOPICS:
            raise Refused(f"a hub has {MAX_TOPICS} topics at most", code="TOO_MANY_TOPICS")
        self._topics[topic.name] = topic
