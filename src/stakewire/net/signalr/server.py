"""A hub that can be reached: dispatcher, endpoint, topics and backplane tied together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Self, TypeVar

from stakewire.clock import Clock, SystemClock
from stakewire.ids import SystemTokens, Tokens
from stakewire.net.http import AsgiApp, DirectHandler
from stakewire.net.signalr.asgi import HubApp
from stakewire.net.signalr.auth import Authenticate, anonymous
from stakewire.net.signalr.backplane import Backplane
from stakewire.net.signalr.clients import Clients, Post
from stakewire.net.signalr.dispatch import HubDispatcher
from stakewire.net.signalr.endpoint import HubEndpoint
from stakewire.net.signalr.exchange import Exchange
from stakewire.net.signalr.filters import Filter
from stakewire.net.signalr.groups import Groups, Members
from stakewire.net.signalr.hub import Hub
from stakewire.net.signalr.methods import HubDescription
from stakewire.net.signalr.metrics import HubMetrics
from stakewire.net.signalr.negotiate import ChooseServer
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.post import LocalClients, LocalPost
from stakewire.net.signalr.sending import Sender, best_sender
from stakewire.net.signalr.session import Sessions
from stakewire.net.signalr.topics import EventTopic, StateTopic, Topic, Topics

H = TypeVar("H", bound=Hub)

STOP_SECONDS: Final = 5.0
_CALLS_SHARE = 0.5


class HubServer(Generic[H]):
    """One hub at one path.

        server = HubServer(ChatHub, path="/chat")
        http = HttpServer(find_direct=server.find_direct, ...)
        async with server: ...

    Attributes:
        path: where clients connect to.
        clock: the time that deadlines are judged by.
        clients: whom to send to, for code outside hub methods.
        groups: memberships, for code outside hub methods.
        endpoint: the routes, for servers that are not ours; also knows the open connections.
        counts: what happened so far; `HubMetrics` shows it to Prometheus.
        topics: what clients subscribe to and is sent to all of them as the same bytes.
    """

    def __init__(
        self,
        hub: type[H],
        *,
        path: str = "/hub",
        options: HubOptions | None = None,
        authenticate: Authenticate = anonymous,
        filters: Sequence[Filter] = (),
        provide: Callable[[type[H]], H] | None = None,
        backplane: Backplane | None = None,
        choose_server: ChooseServer | None = None,
        sender: Sender | None = None,
        metrics: HubMetrics | None = None,
        clock: Clock | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        """Read the hub class and build what serves it; nothing runs before `start`.

        Args:
            path: where clients connect to, "/hub" with its negotiation at "/hub/negotiate".
            authenticate: says whom a request comes from; everybody may in, without a name, by default.
            filters: go around every call, the first one outermost.
            provide: makes the instance for one call, and so hands it what it needs; the class itself,
                unless given.
            backplane: connects the processes of a hub that has several.
            choose_server: sends clients that negotiate elsewhere.
            sender: how topics write to sockets; the quickest way that the system allows, unless given.
            metrics: shows the hub to Prometheus; several hubs may share it.
            clock, tokens: the system's, unless given.

        Raises:
            ConfigError: a method of the hub cannot be offered to clients; the text says why.
        """
        self.options = options or HubOptions()
        clock, tokens = clock or SystemClock(), tokens or SystemTokens()
        self.path = path
        self.clock = clock
        self.backplane = backplane
        self._metrics = metrics
        members = Members(self.options.max_groups)
        self._sessions = sessions = Sessions(self.options)
        local = LocalClients(members, sessions)
        self._stopped = False
        self._exchange: Exchange | None = None
        if backplane is not None:
            self._exchange = Exchange(
                backplane,
                local,
                tell_topic=self._tell_topic,
                clock=clock,
                tokens=tokens,
                result_seconds=self.options.client_result_seconds,
            )
        post: Post = self._exchange or LocalPost(local)
        self.clients = Clients(post)
        self.groups = Groups(post)
        self._sender = sender or best_sender()
        self._dispatcher = HubDispatcher(
            hub,
            options=self.options,
            members=members,
            sessions=sessions,
            post=post,
            groups=self.groups,
            provide=provide or _by_class,
            filters=filters,
        )
        self.endpoint = HubEndpoint(
            self._dispatcher,
            path=path,
            clock=clock,
            tokens=tokens,
            options=self.options,
            authenticate=authenticate,
            choose_server=choose_server,
        )
        self.counts = self.endpoint.connections.counts
        self.topics = Topics(
            self._sender, clock, self.counts, self._spread if backplane is not None else None
        )

    @property
    def calls_waiting(self) -> int:
        """Calls that wait for their turn, of all clients."""
        return self._sessions.waiting

    @property
    def description(self) -> HubDescription:
        """The hub's methods as values; `stakewire.net.signalr.describe` makes documents and clients of it."""
        return self._dispatcher.description

    # Life.

    async def start(self) -> None:
        """Meet the other processes, if there are any, and watch over the connections.

        Raises:
            ConfigError, Unavailable: the backplane cannot be used.
        """
        if self._exchange is not None:
            await self._exchange.start()
        self.endpoint.start()
        if self._metrics is not None:
            self._metrics.watch(self)

    async def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        """Send all clients away, to come back to another process, and let the calls that run end.

        Calls have half of `grace_seconds`, so that `on_disconnected` still has its time when they are
        cancelled; what is left at the end is cut. A second call does nothing.
        """
        if self._stopped:
            return
        self._stopped = True
        await asyncio.gather(
            self.endpoint.stop(grace_seconds), self._dispatcher.stop(grace_seconds * _CALLS_SHARE)
        )
        if self._exchange is not None:
            await self._exchange.stop()
        if self._metrics is not None:
            self._metrics.unwatch(self)
        self._sender.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def find_direct(self, method: str, path: str) -> DirectHandler | None:
        """The handler of a request for the project's own `HttpServer`; None if it is not this hub's."""
        return self.endpoint.find_direct(method, path)

    def asgi(self, around: AsgiApp | None = None) -> HubApp:
        """The hub as an ASGI application, alone or around another; slower than on our own server.

        `HubApp` says how it is mounted instead, and who then starts it.
        """
        return HubApp(self.endpoint, start=self.start, stop=self.stop, around=around)

    # Topics.

    def topic(self, name: str, *, target: str | None = None, numbered: str | None = None) -> StateTopic:
        """The state topic of this name: subscribers get its newest state. See `Topics.state`."""
        topic = self.topics.state(name, target=target, numbered=numbered)
        if topic.newest is None and self._exchange is not None:
            newest = self._exchange.newest(name)
            if newest is not None:
                topic.deliver(tuple(newest))
        return topic

    def event_topic(self, name: str, *, target: str | None = None) -> EventTopic:
        """The event topic of this name: subscribers get every event. See `Topics.event`."""
        return self.topics.event(name, target=target)

    def _tell_topic(self, name: str, arguments: Sequence[Any]) -> None:
        """What some process has published, for the topic of that name here."""
        topic = self.topics.find(name)
        if topic is not None:
            topic.deliver(tuple(arguments))

    async def _spread(self, topic: Topic, arguments: tuple[Any, ...]) -> None:
        assert self._exchange is not None
        if isinstance(topic, StateTopic):
            self._exchange.publish_state(topic.name, arguments)
        else:
            self._exchange.publish_event(topic.name, arguments)


def _by_class(hub: type[H]) -> H:
    return hub()
