"""Claims about hubs joined by a backplane: to clients they are one hub, wherever each is connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from tests.integration.signalr.serving import serving

from stakewire.client.signalr import HubConnection, State
from stakewire.net.signalr import Hub, HubServer


class Line:
    """What several backplanes have in common: everybody hears everything, in one order."""

    def __init__(self) -> None:
        self.ends: list[LineEnd] = []


class LineEnd:
    """A `Backplane` in memory."""

    waiting = 0
    connected = True

    def __init__(self, line: Line) -> None:
        self._line = line
        self._receive: Callable[[bytes], None] | None = None
        self.lost: Callable[[], None] = lambda: None

    async def start(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._receive, self.lost = receive, lost
        self._line.ends.append(self)

    def publish(self, data: bytes) -> None:
        for end in self._line.ends:
            asyncio.get_running_loop().call_soon(end.take, data)

    def take(self, data: bytes) -> None:
        if self._receive is not None:
            self._receive(data)

    async def stop(self) -> None:
        self._receive = None
        self._line.ends.remove(self)


class Chat(Hub):
    def __init__(self, server: HubServer[Any]) -> None:
        self.server = server

    async def me(self) -> str:
        return self.context.connection_id

    async def invite(self, who: str, room: str) -> None:
        await self.groups.add(who, room)

    async def say(self, room: str, text: str) -> None:
        await self.clients.others_in_group(room).send("Said", text)

    async def ask(self, who: str) -> int:
        return await self.clients.client(who).invoke("Age", result=int, timeout=0.5)

    async def watch(self) -> None:
        self.server.topic("Price").subscribe(self.context.connection)
        self.server.event_topic("Bell").subscribe(self.context.connection)


def new_hub(end: LineEnd) -> HubServer[Chat]:
    hubs: list[HubServer[Chat]] = []
    hubs.append(HubServer(Chat, backplane=end, provide=lambda hub: hub(hubs[0])))
    return hubs[0]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_two_processes_are_one_hub() -> None:
    """Groups, users, questions and topics reach clients of the other process as those of one's own."""
    line = Line()
    here, there = new_hub(LineEnd(line)), new_hub(LineEnd(line))
    heard: dict[str, list[Any]] = {"ann": [], "bob": []}
    async with AsyncExitStack() as stack:
        bases = [await stack.enter_async_context(serving(hub)) for hub in (here, there)]
        ann, bob = [await stack.enter_async_context(HubConnection(f"{base}/hub")) for base in bases]
        for name, one in {"ann": ann, "bob": bob}.items():
            for target in ("Said", "Price", "Bell"):
                one.on(target, lambda value, name=name: heard[name].append(value))
            one.on("Age", lambda: 41, types=())
        names = [await one.invoke("Me", result=str) for one in (ann, bob)]
        for who in names:
            await ann.invoke("Invite", who, "room")
        await ann.invoke("Say", "room", "hello")
        await until(lambda: heard["bob"] == ["hello"])

        assert await ann.invoke("Ask", names[1], result=int) == 41

        await here.topic("Price").publish(7)
        await bob.invoke("Watch")
        await until(lambda: heard["bob"] == ["hello", 7])
        await here.event_topic("Bell").publish("ding")
        await here.topic("Price").publish(8)
        await until(lambda: heard["bob"] == ["hello", 7, "ding", 8])
        assert heard["ann"] == []


async def test_clients_come_again_when_messages_were_missed() -> None:
    """Nobody can say what was lost, so clients are sent to reconnect and ask for the present state."""
    end = LineEnd(Line())
    async with serving(new_hub(end)) as base, HubConnection(f"{base}/hub") as ann:
        states: list[State] = []
        ann.on_state(lambda change: states.append(change.new))
        end.lost()
        await until(lambda: states[-1:] == [State.CONNECTED])
        assert states[0] is State.RECONNECTING
