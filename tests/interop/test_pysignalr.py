"""`pysignalr` of PyPI, unmodified: it asks for negotiation version 0, and wants its token in the address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pysignalr.client import SignalRClient
from pysignalr.messages import CompletionMessage
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol
from tests.interop.hub import token_for

PROTOCOLS = pytest.mark.parametrize("protocol", [JSONProtocol, MessagepackProtocol])


class Caller:
    """Waits for what the client gives to callbacks."""

    def __init__(self, client: SignalRClient) -> None:
        self.client = client
        self.errors: asyncio.Queue[str | None] = asyncio.Queue()
        client.on_error(self._failed)

    async def _failed(self, message: CompletionMessage) -> None:
        self.errors.put_nowait(message.error)

    async def invoke(self, method: str, *arguments: Any) -> Any:
        """The result."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def completed(message: Any) -> None:
            done.set_result(message.result)

        await self.client.send(method, list(arguments), completed)
        return await done

    async def error_of(self, method: str, *arguments: Any) -> str | None:
        """The text of the error that the call ends with."""

        async def completed(message: Any) -> None:
            """The error goes to the client's own callback."""

        await self.client.send(method, list(arguments), completed)
        return await self.errors.get()

    async def stream(self, method: str, *arguments: Any) -> list[Any]:
        """All items of a stream."""
        items: list[Any] = []
        done = asyncio.Event()

        async def came(item: Any) -> None:
            items.append(item)

        async def ended(_: Any) -> None:
            done.set()

        await self.client.stream(method, list(arguments), came, ended)
        await done.wait()
        return items


@asynccontextmanager
async def connected(address: str, protocol: Any, **options: Any) -> AsyncIterator[Caller]:
    """A running client."""
    client = SignalRClient(address, protocol=protocol(), **options)
    caller = Caller(client)
    opened = asyncio.Event()

    async def on_open() -> None:
        opened.set()

    client.on_open(on_open)
    running = asyncio.create_task(client.run())
    try:
        async with asyncio.timeout(10):
            await opened.wait()
            yield caller
    finally:
        running.cancel()
        await asyncio.wait([running])


@pytest.fixture
def address(server: dict[str, str]) -> str:
    return f"{server['base']}/hub?access_token={token_for('pysignalr')}"


@PROTOCOLS
async def test_calls_and_their_errors(address: str, protocol: Any) -> None:
    """Results, void, unknown methods, hidden and visible errors."""
    async with connected(address, protocol) as caller:
        assert await caller.invoke("Add", 2, 40) == 42
        assert await caller.invoke("Echo", {"text": "ü😀"}) == {"text": "ü😀"}
        assert await caller.invoke("Nothing") is None
        assert await caller.invoke("Who") == "pysignalr"
        assert "Unknown hub method 'NoSuch'" in (await caller.error_of("NoSuch") or "")
        assert "secret" not in (await caller.error_of("Fail") or "")
        assert "not on a Sunday" in (await caller.error_of("Refuse", "not on a Sunday") or "")
        assert await caller.invoke("Add", 1, 1) == 2


@PROTOCOLS
async def test_streams_both_ways(address: str, protocol: Any) -> None:
    """Items of the server's stream come in order; a stream of the client reaches its method."""
    async with connected(address, protocol) as caller:
        assert await caller.stream("Count", 25) == list(range(25))
        async with caller.client.client_stream("Collect") as stream:
            for number in range(5):
                await stream.send(number)
        while (collected := await caller.invoke("Collected")) != list(range(5)):
            assert collected is None


@PROTOCOLS
async def test_messages_and_questions_of_the_server(address: str, protocol: Any) -> None:
    """The server's invocations arrive, and its questions are answered."""
    async with connected(address, protocol) as caller:
        heard: asyncio.Queue[Any] = asyncio.Queue()

        async def receive(arguments: Any) -> None:
            heard.put_nowait(arguments)

        async def question(arguments: Any) -> str:
            return f"{arguments[0]} 42"

        caller.client.on("Receive", receive)
        caller.client.on("Question", question)
        await caller.client.send("TellCaller", ["hello"])  # type: ignore[list-item]
        assert await heard.get() == ["hello"]
        assert await caller.invoke("Ask", "How much?") == "How much? 42"


async def test_a_token_in_its_headers(server: dict[str, str]) -> None:
    """The other place where this client can carry a token from its first request on."""
    headers = {"Authorization": f"Bearer {token_for('header')}"}
    async with connected(f"{server['base']}/hub", JSONProtocol, headers=headers) as caller:
        assert await caller.invoke("Who") == "header"
