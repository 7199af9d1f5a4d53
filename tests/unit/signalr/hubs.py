"""A hub's dispatcher without a server: connections that only remember what they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import msgspec

from stakewire.net.signalr.auth import ANONYMOUS, Principal
from stakewire.net.signalr.clients import Clients
from stakewire.net.signalr.connection import HubConnection
from stakewire.net.signalr.dispatch import HubDispatcher
from stakewire.net.signalr.filters import Filter
from stakewire.net.signalr.groups import Groups, Members
from stakewire.net.signalr.hub import Hub
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.post import LocalClients, LocalPost
from stakewire.net.signalr.session import Sessions
from stakewire.wire.signalr.messages import HubMessage
from stakewire.wire.signalr.protocol import JSON
from stakewire.wire.signalr.shared import SharedMessage, Variant

Record = dict[str, Any]


class RecordingConnection:
    """A `HubConnection` whose client is the test: real JSON both ways, no transport."""

    def __init__(self, name: str, principal: Principal = ANONYMOUS) -> None:
        self.id = name
        self.principal = principal
        self.protocol = JSON
        self.items: dict[Any, Any] = {}
        self.sent: list[Record] = []
        self.closed = False
        self.said: str | None = None
        self.held = False
        self.running = 0
        self.room = asyncio.Event()
        self.room.set()
        self.news = asyncio.Condition()

    def send(self, message: HubMessage) -> None:
        self._sent(JSON.write(message))

    def send_shared(self, shared: SharedMessage) -> None:
        self._sent(shared.frame(Variant.RAW_JSON))

    def close(self, error: str | None = None, *, allow_reconnect: bool = False, code: int = 1000) -> None:
        self.closed = True
        self.said = error

    async def drained(self) -> None:
        await self.room.wait()

    def hold_reading(self, hold: bool) -> None:
        assert hold is not self.held, "told twice"
        self.held = hold

    def method_started(self) -> None:
        self.running += 1

    def method_ended(self) -> None:
        self.running -= 1

    def _sent(self, data: bytes) -> None:
        if not self.closed:
            assert data.endswith(b"\x1e")
            self.sent.append(msgspec.json.decode(data[:-1]))


H = TypeVar("H", bound=Hub)


class HubBench(Generic[H]):
    """One hub class, its dispatcher, and as many connections as a test wants."""

    def __init__(
        self,
        hub: type[H],
        *,
        filters: tuple[Filter, ...] = (),
        provide: Callable[[type[H]], H] = lambda cls: cls(),
        **options: Any,
    ) -> None:
        self.options = HubOptions(**options)
        self.members = Members(self.options.max_groups)
        self.sessions = Sessions(self.options)
        self.post = LocalPost(LocalClients(self.members, self.sessions))
        self.clients = Clients(self.post)
        self.groups = Groups(self.post)
        self.dispatcher = HubDispatcher(
            hub,
            options=self.options,
            members=self.members,
            sessions=self.sessions,
            post=self.post,
            groups=self.groups,
            provide=provide,
            filters=filters,
        )

    async def connect(self, name: str = "c1", user: str | None = None, **claims: Any) -> RecordingConnection:
        """A connection that the hub has accepted."""
        connection = RecordingConnection(name, Principal(user, claims))
        waiting = self.dispatcher.connected(cast(HubConnection, connection))
        if waiting is not None:
            await waiting
        return connection

    def receive(self, connection: RecordingConnection, **record: Any) -> None:
        """What the connection's client says."""
        message = JSON.parse(msgspec.json.encode(record))
        assert message is not None
        self.dispatcher.message(cast(HubConnection, connection), message)

    def invoke(
        self,
        connection: RecordingConnection,
        target: str,
        *arguments: Any,
        number: str | None = "1",
        **more: Any,
    ) -> None:
        """The client calls a plain method."""
        given = {} if number is None else {"invocationId": number}
        self.receive(connection, type=1, target=target, arguments=arguments, **given, **more)

    def stream(
        self, connection: RecordingConnection, target: str, *arguments: Any, number: str = "1", **more: Any
    ) -> None:
        """The client calls a streaming method."""
        self.receive(connection, type=4, target=target, arguments=arguments, invocationId=number, **more)

    async def call(self, connection: RecordingConnection, target: str, *arguments: Any) -> Record:
        """Call a plain method and give its Completion."""
        self.invoke(connection, target, *arguments)
        return await self.completion(connection)

    async def completion(self, connection: RecordingConnection, number: str = "1") -> Record:
        """The Completion of a call, once it is there; taken out of what was sent."""

        def found() -> list[Record]:
            return [one for one in connection.sent if one["type"] == 3 and one["invocationId"] == number]

        await until(lambda: bool(found()))
        (completion,) = found()
        connection.sent.remove(completion)
        return completion

    async def disconnect(self, connection: RecordingConnection, error: str | None = None) -> None:
        """The connection ends."""
        connection.closed = True
        waiting = self.dispatcher.disconnected(cast(HubConnection, connection), error)
        if waiting is not None:
            await waiting


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until `condition` holds; all that a hub does here needs no time."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")
