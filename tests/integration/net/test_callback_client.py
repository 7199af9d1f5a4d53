"""The callback client against peers that behave, misbehave and vanish."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest

from stakewire.clock import SystemClock
from stakewire.net.callback_client import CallbackClient, NoAnswer, NotSent
from stakewire.net.client_connection import AnswerLimits
from stakewire.net.egress import EgressGuard
from stakewire.net.sockets import bind

LOOPBACK = [ip_network("127.0.0.0/8")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def peer() -> AsyncIterator[Any]:
    """Starts peers: `url = await peer(handle)` runs `handle(reader, writer)` per connection."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def start(handle: Peer, **options: Any) -> str:
        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await handle(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(run, "127.0.0.1", 0, **options)
        servers.append(server)
        scheme = "https" if options else "http"
        return f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/cb"

    yield start
    for server in servers:
        server.close()
    for task in tuple(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def client() -> AsyncIterator[CallbackClient]:
    made = new_client()
    yield made
    await made.close()


def new_client(**options: Any) -> CallbackClient:
    options.setdefault("max_connections_per_destination", 4)
    return CallbackClient(EgressGuard(LOOPBACK), clock=SystemClock(), **options)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(size)


def says(answer: bytes, *, times: int = 100) -> Peer:
    """A peer that gives this answer to every request, and then closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            await read_request(reader)
            writer.write(answer)
            await writer.drain()

    return handle


async def test_bytes_on_the_wire_and_the_answer(peer: Any, client: CallbackClient) -> None:
    """The body leaves unchanged with its length and our headers; the answer comes back whole."""
    seen: list[tuple[bytes, bytes]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Made\r\nX-A: b \r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")

    url = await peer(handle)
    answer = await client.post(url + "/transaction?x=1", b'{"a": 1}', [("X-Security-Hash", "ab")], 5.0)
    head, body = seen[0]
    assert head.startswith(b"POST /cb/transaction?x=1 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nX-Security-Hash: ab\r\n" in head
    assert body == b'{"a": 1}'
    assert (answer.status, answer.body, answer.address) == (201, b"hello", "127.0.0.1")
    assert answer.headers[0] == (b"x-a", b"b")
    assert answer.answered_at >= answer.sent_at


async def test_connections_are_kept_and_bounded(peer: Any) -> None:
    """A hundred posts at once use four connections, one after another, and all are answered."""
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await says(OK)(reader, writer)

    url = await peer(handle)
    client = new_client(max_connections_per_destination=4)
    answers = await asyncio.gather(*(client.post(url, b"%d" % n, [], 5.0) for n in range(100)))
    assert [answer.body for answer in answers] == [b"ok"] * 100
    assert connections == 4
    await client.post(url, b"", [], 5.0)
    assert connections == 4
    await client.post(url, b"", [], 5.0, fresh=True)
    assert connections == 5
    await client.close()


async def test_waiting_for_a_connection_counts_into_the_timeout(peer: Any) -> None:
    """One who waits in line past its timeout is NotSent; the line goes on without it."""
    go = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await go.wait()
        writer.write(OK)
        await says(OK)(reader, writer)

    url = await peer(handle)
    client = new_client(max_connections_per_destination=1)
    first = asyncio.ensure_future(client.post(url, b"1", [], 5.0))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(client.post(url, b"2", [], 0.05))
    third = asyncio.ensure_future(client.post(url, b"3", [], 5.0))
    with pytest.raises(NotSent, match="free"):
        await second
    go.set()
    assert (await first).body == (await third).body == b"ok"
    await client.close()


async def test_refused_connection_is_not_sent(client: CallbackClient) -> None:
    """Nobody listens: nothing reached the peer."""
    (sock,) = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    with pytest.raises(NotSent, match="refused"):
        await client.post(f"http://127.0.0.1:{port}/", b"", [], 5.0)
    sock.close()


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "ftp://127.0.0.1/", "http://127.1/"])
async def test_forbidden_destination_is_not_sent(client: CallbackClient, url: str) -> None:
    """What the egress guard refuses is never connected to, and the reason says why."""
    with pytest.raises(NotSent) as caught:
        await client.post(url, b"", [], 5.0)
    assert caught.value.reason


BROKEN = {
    "closes": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "other protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    "large body": b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65537,
    "large header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 17000 + b"\r\nContent-Length: 0\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 600_000,
    "endless body": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 600_000,
    "endless interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 30_000,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_broken_answer_is_no_answer(peer: Any, client: CallbackClient, answer: bytes) -> None:
    """Whatever is not one complete, bounded HTTP answer leaves open what the peer did."""
    url = await peer(says(answer, times=1))
    with pytest.raises(NoAnswer):
        await client.post(url, b"x", [], 5.0)


async def test_silence_is_no_answer_in_time(peer: Any, client: CallbackClient) -> None:
    """The timeout ends the wait and the connection, so that a late answer meets nobody else's request."""
    late = asyncio.Event()
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        if count == 1:
            await read_request(reader)
            await late.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        await says(OK)(reader, writer)

    url = await peer(handle)
    with pytest.raises(NoAnswer, match="time"):
        await client.post(url, b"x", [], 0.05)
    late.set()
    assert (await client.post(url, b"y", [], 5.0)).body == b"ok"


async def test_body_without_length_ends_with_the_connection(peer: Any, client: CallbackClient) -> None:
    """An old peer that ends its answer by closing is understood."""
    url = await peer(says(b"HTTP/1.0 200 OK\r\n\r\nplain", times=1))
    assert (await client.post(url, b"x", [], 5.0)).body == b"plain"


async def test_connection_closed_while_idle_is_replaced(
    peer: Any, client: CallbackClient, until: Any
) -> None:
    """A kept connection that the peer closed meanwhile is noticed, and a new one is made."""
    url = await peer(says(OK, times=1))
    for _ in range(3):
        assert (await client.post(url, b"x", [], 5.0)).body == b"ok"
        pool = next(iter(client._pools.values()))
        await until(lambda pool=pool: not any(conn.usable for _, conn in pool._idle))


async def test_answer_nobody_asked_for_is_nobodys(peer: Any, client: CallbackClient) -> None:
    """Two answers to one request: the second is never taken for the answer to the next request."""
    url = await peer(says(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake"))
    for _ in range(3):
        with contextlib.suppress(NoAnswer):
            assert (await client.post(url, b"x", [], 5.0)).body == b"ok"


async def test_redirects_are_answers(peer: Any, client: CallbackClient) -> None:
    """A redirect is returned, never followed."""
    url = await peer(
        says(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    )
    assert (await client.post(url, b"x", [], 5.0)).status == 302


async def test_header_with_a_line_end_is_a_fault_of_ours(peer: Any, client: CallbackClient) -> None:
    """A header that would write further headers is refused before anything is sent."""
    url = await peer(says(OK))
    with pytest.raises(ValueError, match="line end"):
        await client.post(url, b"x", [("X-A", "b\r\nX-C: d")], 5.0)


async def test_tls_is_verified(peer: Any, certificate: Any) -> None:
    """A certificate that nobody vouches for is NotSent; a trusted one carries the callback."""
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    url = await peer(says(OK), ssl=context)
    strict = new_client()
    with pytest.raises(NotSent, match="TLS"):
        await strict.post(url, b"x", [], 5.0)
    trusting = new_client(ssl_context=ssl.create_default_context(cafile=str(cert)))
    assert (await trusting.post(url, b"x", [], 5.0)).body == b"ok"
    await trusting.close()
    await strict.close()


async def test_cancelled_post_frees_its_place(peer: Any) -> None:
    """A caller that gives up neither leaks its connection's place nor leaves its answer to others."""
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        if count == 1:
            await read_request(reader)
            await asyncio.Event().wait()
        await says(OK)(reader, writer)

    url = await peer(handle)
    client = new_client(max_connections_per_destination=1)
    first = asyncio.ensure_future(client.post(url, b"1", [], 5.0))
    waiting = asyncio.ensure_future(client.post(url, b"2", [], 5.0))
    while not count:
        await asyncio.sleep(0.001)
    first.cancel()
    assert (await waiting).body == b"ok"
    await client.close()


async def test_close_ends_those_who_wait(peer: Any) -> None:
    """After close nothing is sent any more, and nobody waits for ever."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    url = await peer(handle)
    client = new_client(max_connections_per_destination=1, limits=AnswerLimits())
    posts = [asyncio.ensure_future(client.post(url, b"x", [], 30.0)) for _ in range(3)]
    while not any(pool.busy for pool in client._pools.values()):
        await asyncio.sleep(0.001)
    await client.close()
    results = await asyncio.gather(*posts, return_exceptions=True)
    assert {type(result) for result in results} == {NoAnswer, NotSent}
    with pytest.raises(NotSent):
        await client.post(url, b"x", [], 1.0)
