"""Two processes of a hub behind a balancer, clients that remember what they heard, and a publisher."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.acceptance.hub.hub_process import ChatHub, make_backplane, make_server
from tests.acceptance.processes import Running, three_free_ports

from stakewire.client.signalr import ClientOptions, HubConnection, ReconnectSchedule, StateChange
from stakewire.net.signalr import HubServer

WAIT_SECONDS = 30.0
COMES_BACK = ClientOptions(reconnect=ReconnectSchedule(waits=(0.05, 0.2, 0.5)))


class Balancer:
    """Spreads TCP connections over the addresses that take them; it knows nothing of what they carry."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        self._ports.append(self._ports.pop(0))
        for port in tuple(self._ports):
            with contextlib.suppress(OSError):
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_pass(reader, up_writer), _pass(up_reader, writer))
                return
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Client:
    """One user's connection, and what it has heard."""

    def __init__(self, url: str, user: str, options: ClientOptions = COMES_BACK) -> None:
        self.user = user
        self.hub = HubConnection(f"{url}/chat?user={user}", options=options)
        self.said: list[str] = []
        self.scores: list[int] = []
        self.changes: list[StateChange] = []
        self._changed = asyncio.Event()
        self.hub.on("Said", self._hear, types=(str,))
        self.hub.on("Score", self._see, types=(int,))
        self.hub.on("Answer", lambda question: f"{user}: {question}!", types=(str,))
        self.hub.on_state(self._change)

    async def hears(self, *wanted: str) -> None:
        """Wait until it has heard exactly these."""
        await self.until(lambda: len(self.said) >= len(wanted))
        assert self.said == list(wanted)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def sees(self, condition: Callable[[Client], bool]) -> None:
        """Wait until something holds of this client."""
        await self.until(lambda: condition(self))

    async def where(self) -> str:
        return await self.hub.invoke("Where", result=str)

    def _change(self, change: StateChange) -> None:
        self.changes.append(change)
        self._changed.set()

    def _hear(self, text: str) -> None:
        self.said.append(text)
        self._changed.set()

    def _see(self, score: int) -> None:
        self.scores.append(score)
        self._changed.set()


class Cluster:
    """The processes of one hub on one carrier."""

    def __init__(self, carrier: str, address: str, folder: Path) -> None:
        self._carrier = carrier
        self._address = address
        self._folder = folder
        first = three_free_ports()
        self.ports = (first, first + 1)
        self.processes: dict[int, Running] = {}
        self.balancer = Balancer(self.ports)
        self._clients: list[Client] = []

    async def start(self, *ports: int) -> None:
        """Start processes and wait until they serve."""
        module = "tests.acceptance.hub.hub_process"
        for port in ports:
            self.processes[port] = Running(
                module,
                str(port),
                self._carrier,
                self._address,
                cwd=self._folder,
                env={"PYTHONPATH": str(Path(__file__).parents[3])},
                program=(sys.executable, "-m"),
            )
        for port in ports:
            await asyncio.to_thread(self.processes[port].wait_for_line, "ready")

    async def stop(self, port: int, how: signal.Signals) -> None:
        """End a process and wait for its end."""
        process = self.processes.pop(port)
        process.signal(how)
        code = await asyncio.to_thread(process.wait)
        assert code == (0 if how is signal.SIGTERM else -how), process.output

    async def client(self, user: str, port: int | None = None) -> Client:
        """A client of one process, or of whichever the balancer gives it to."""
        url = self.balancer.url if port is None else f"http://127.0.0.1:{port}"
        client = Client(url, user)
        self._clients.append(client)
        await client.hub.start()
        return client

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[HubServer[ChatHub]]:
        """A third process's part: it serves nobody, and publishes to the hub's clients."""
        server = make_server("publisher", make_backplane(self._carrier, self._address))
        async with server:
            yield server

    async def close(self) -> None:
        await asyncio.gather(*(client.hub.stop() for client in self._clients))
        for process in self.processes.values():
            await asyncio.to_thread(process.__exit__, None, None, None)


@asynccontextmanager
async def running_cluster(carrier: str, address: str, folder: Path) -> AsyncIterator[Cluster]:
    """Two processes and the balancer before them, for the length of the block."""
    cluster = Cluster(carrier, address, folder)
    listener = await asyncio.start_server(cluster.balancer.serve, "127.0.0.1", 0)
    cluster.balancer.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        await cluster.start(*cluster.ports)
        yield cluster
    finally:
        await cluster.close()
        listener.close()
