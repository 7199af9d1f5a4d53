"""One process of a chat hub: `python -m tests.acceptance.hub.hub_process PORT CARRIER ADDRESS`.

CARRIER is postgres or nats. Whoever negotiates without `direct=1` is sent to this process's own address, as
behind a balancer that knows nothing of connections. Ends in order on SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import structlog
import uvloop

from stakewire.clock import SystemClock
from stakewire.ids import SystemTokens
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.signalr import Hub, HubOptions, HubRequest, HubServer, Principal
from stakewire.net.signalr.backplane import Backplane
from stakewire.net.signalr.nats import NatsBackplane
from stakewire.net.sockets import bind
from stakewire.postgres.backplane.limits import BackplaneLimits
from stakewire.postgres.backplane.store import PostgresBackplane
from stakewire.wire.signalr.negotiate import Redirect


class ChatHub(Hub):
    """Rooms, questions to clients, and a state topic."""

    def __init__(self, server: HubServer[Any], name: str) -> None:
        self._server = server
        self._name = name

    async def where(self) -> str:
        """Which process this connection is on."""
        return self._name

    async def join(self, room: str) -> str:
        await self.groups.add(self.context.connection_id, room)
        return self.context.connection_id

    async def invite(self, connection_id: str, room: str) -> None:
        await self.groups.add(connection_id, room)

    async def say(self, room: str, text: str) -> None:
        await self.clients.others_in_group(room).send("Said", text)

    async def tell(self, user: str, text: str) -> None:
        await self.clients.user(user).send("Said", text)

    async def whisper(self, connection_id: str, text: str) -> None:
        await self.clients.client(connection_id).send("Said", text)

    async def ask(self, connection_id: str, question: str) -> str:
        return await self.clients.client(connection_id).invoke("Answer", question, result=str)

    async def watch(self) -> None:
        self._server.topic("score", target="Score").subscribe(self.context.connection)


def make_backplane(carrier: str, address: str) -> Backplane:
    """The carrier as these tests use it."""
    if carrier == "postgres":
        return PostgresBackplane(
            address,
            channel="chat",
            clock=SystemClock(),
            tokens=SystemTokens(),
            limits=BackplaneLimits(poll_seconds=5),
        )
    return NatsBackplane(address, subject="chat", tokens=SystemTokens())


def make_server(name: str, backplane: Backplane, origin: str = "") -> HubServer[ChatHub]:
    """The hub, as every process of it has it."""

    def choose(request: HubRequest, principal: Principal) -> Redirect | None:
        if request.parameter("direct"):
            return None
        return Redirect(f"{origin}/chat?direct=1&user={principal.user_id}", "")

    async def by_name(request: HubRequest) -> Principal:
        return Principal(request.parameter("user"))

    def provide(hub: type[ChatHub]) -> ChatHub:
        return hub(server, name)

    server: HubServer[ChatHub] = HubServer(
        ChatHub,
        path="/chat",
        options=HubOptions(keep_alive_seconds=1),
        authenticate=by_name,
        provide=provide,
        backplane=backplane,
        choose_server=choose,
    )
    return server


async def main(port: int, carrier: str, address: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    hub = make_server(str(port), make_backplane(carrier, address), f"http://127.0.0.1:{port}")
    http = HttpServer(
        app=_no_app,
        find_hot=lambda method, path: None,
        find_direct=hub.find_direct,
        limits=HttpLimits(),
        trusted_proxies=(),
        clock=SystemClock(),
    )
    async with hub:
        await http.start(bind("127.0.0.1", port)[0])
        print("ready", flush=True)
        await stop.wait()
    await http.stop(1.0)
    print("stopped", flush=True)


async def _no_app(scope: object, receive: object, send: object) -> None:
    raise RuntimeError("the hub is all there is")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), *sys.argv[2:4]))
