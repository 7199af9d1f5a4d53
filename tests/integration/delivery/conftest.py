"""A real outbox on PostgreSQL, and receivers that answer over real sockets as a script tells them."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stakewire.clock import SystemClock
from stakewire.delivery.action import Action
from stakewire.delivery.breaker import BreakerPolicy
from stakewire.delivery.outbox import NewCallback
from stakewire.ids import OwnIds
from stakewire.net.callback_client import CallbackClient
from stakewire.net.egress import EgressGuard
from stakewire.postgres.connect import app_role, open_pool
from stakewire.postgres.outbox.store import PostgresOutbox, enqueue
from stakewire.sportsbook.delivery.build import Delivery, build_delivery
from stakewire.sportsbook.delivery.lane import LaneLimits
from stakewire.sportsbook.delivery.targets import ClientTarget
from stakewire.wire.sportsbook.signing import Secret

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "a secret for the tests of delivery"
QUICK = LaneLimits(
    breaker=BreakerPolicy(first_pause=0.05, longest_pause=0.2, first_window=8, widest_window=16),
    timeout=0.3,
    lease=1.5,
)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    """Sessions as the sportsbook has them: its schema, its role's rights and no more."""
    opened = await open_pool(
        database_url, schema="sportsbook", role=app_role("sportsbook"), max_size=12, **PostgresOutbox.SESSION
    )
    yield opened
    await opened.close()


@pytest.fixture
def outbox(pool: Any) -> PostgresOutbox:
    return PostgresOutbox(pool)


class Writer:
    """Enqueues callbacks, each call in a transaction of its own."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._ids = OwnIds(7)
        self._numbers = itertools.count(1)

    def new(self, action: Action = Action.RESULT, **values: Any) -> NewCallback:
        """A callback with values that do not matter, but for those given."""
        name = f"tx-{next(self._numbers)}"
        asked = {
            "client_id": 1,
            "bet_id": None,
            "transaction_id": name,
            "user_id": "alice",
            "currency": "EUR",
            "amount_minor": 525,
            "path": "/transaction-rollback" if action is Action.ROLLBACK else "/transaction",
            "target_id": "tx-0" if action is Action.ROLLBACK else None,
        } | values
        body = json.dumps({"transaction_id": asked["transaction_id"], "action": action, "amount": 5.25})
        return NewCallback(action=action, body=asked.pop("body", body.encode()), **asked)

    async def __call__(self, *callbacks: NewCallback, now: datetime = NOW) -> list[int]:
        async with self._pool.acquire() as conn, conn.transaction():
            return await enqueue(conn, callbacks, ids=self._ids, now=now)

    async def within(self, conn: Any, *callbacks: NewCallback, now: datetime = NOW) -> list[int]:
        """In a transaction of the caller's."""
        return await enqueue(conn, callbacks, ids=self._ids, now=now)


@pytest.fixture
def write(pool: Any) -> Writer:
    return Writer(pool)


@pytest.fixture
def states(pool: Any) -> Callable[..., Awaitable[list[str]]]:
    """The states of callbacks, in the order of their ids."""

    async def read(*ids: int) -> list[str]:
        rows = await pool.fetch("SELECT state FROM callback WHERE id = ANY($1::bigint[]) ORDER BY id", ids)
        return [row[0] for row in rows]

    return read


@dataclass
class Received:
    """One request as it arrived: its first line, headers in lower case, body."""

    line: str
    headers: dict[str, str]
    body: bytes


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An ordinary answer's bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def accept(received: Received) -> bytes:
    """The contract's success."""
    own_id = "w-" + json.loads(received.body)["transaction_id"]
    return http(b'{"error":null,"transaction_id":"' + own_id.encode() + b'"}')


Script = Callable[[Received], "bytes | Awaitable[bytes | None] | None"]


@dataclass
class Receiver:
    """A client's endpoint: `answer` gives the raw bytes sent back, or None to cut the connection."""

    answer: Script = accept
    requests: list[Received] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    port: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def seen(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.requests) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *header_lines = head.strip().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (one.partition(":") for one in header_lines)
        }
        received = Received(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
        async with self.changed:
            self.requests.append(received)
            self.changed.notify_all()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            raw = self.answer(received)
            if not isinstance(raw, bytes | None):
                raw = await raw
        finally:
            self.in_flight -= 1
        if raw is None:
            return False
        writer.write(raw)
        await writer.drain()
        return True


@pytest.fixture
async def receivers() -> AsyncIterator[Callable[..., Awaitable[Receiver]]]:
    """Starts receivers; all are stopped with the test."""
    started: list[Receiver] = []

    async def start(answer: Script = accept, *, port: int = 0) -> Receiver:
        receiver = Receiver(answer)
        await receiver.start(port)
        started.append(receiver)
        return receiver

    yield start
    for receiver in started:
        await receiver.stop()


class Targets:
    """The clients as the sender finds them; a test may change them while it runs."""

    def __init__(self) -> None:
        self.by_id: dict[int, ClientTarget] = {}

    def set(self, client_id: int, url: str, *, secret: str = SECRET, **values: Any) -> ClientTarget:
        self.by_id[client_id] = ClientTarget(
            client_id=client_id, name=f"client-{client_id}", callback_url=url, secret=Secret(secret), **values
        )
        return self.by_id[client_id]

    async def target(self, client_id: int) -> ClientTarget | None:
        return self.by_id.get(client_id)


@pytest.fixture
def targets() -> Targets:
    return Targets()


@pytest.fixture
async def poster() -> AsyncIterator[CallbackClient]:
    guard = EgressGuard([ip_network("127.0.0.0/8")])
    client = CallbackClient(guard, max_connections_per_destination=64, clock=SystemClock())
    yield client
    await client.close()


@pytest.fixture
async def deliver(
    pool: Any, targets: Targets, poster: CallbackClient
) -> AsyncIterator[Callable[..., Delivery]]:
    """Starts workers in this process, with quick limits; all are stopped with the test."""
    stop = asyncio.Event()
    running: list[asyncio.Task[None]] = []

    def start(limits: LaneLimits | None = None, name: str = "test", **changed: Any) -> Delivery:
        delivery = build_delivery(
            pool=pool,
            targets=targets,
            poster=changed.get("poster", poster),
            bet_poster=poster,
            clock=SystemClock(),
            chance=random.Random(1).random,
            worker=name,
            concurrency=16,
            registry=CollectorRegistry(),
            limits=limits or QUICK,
        )
        running.append(asyncio.create_task(delivery.run(changed.get("stop", stop))))
        return delivery

    yield start
    stop.set()
    await asyncio.gather(*running)


@pytest.fixture
def until(pool: Any) -> Callable[..., Awaitable[None]]:
    """Waits until every callback of these is in the state named, however long the machine takes."""

    async def wait(state: str, *ids: int) -> None:
        query = "SELECT count(*) FROM callback WHERE id = ANY($1::bigint[]) AND state <> $2"
        async with asyncio.timeout(60):
            while await pool.fetchval(query, ids, state):
                await asyncio.sleep(0.01)

    return wait
