"""A PostgreSQL and a NATS server that may be killed without hurting other tests, and carriers on both."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conftest import NewDatabase
from tests.integration.backplane.carriers import Carrier, nats_at, postgres_at
from tests.integration.backplane.nats_server import NatsServer

from stakewire.postgres.connect import connected
from stakewire.postgres.embedded import EmbeddedPostgres, in_thread
from stakewire.postgres.migrate import migrate


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """One for all tests that do not kill it."""
    with NatsServer() as server:
        yield server


@pytest.fixture
def hub_database(new_database: NewDatabase) -> str:
    """A database with the schema `hub` alone."""
    return new_database("hub")


async def _never() -> None:
    raise AssertionError("this server is everybody's")


@pytest.fixture(params=["postgres", "nats"])
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    """Either carrier, on a server that all tests share."""
    if request.param == "postgres":
        made = Carrier(postgres_at(request.getfixturevalue("hub_database")), _never, _never)
    else:
        server: NatsServer = request.getfixturevalue("nats_server")
        made = Carrier(nats_at(server.url, uuid.uuid4().hex), _never, _never)
    yield made
    await made.close()


async def _migrate(dsn: str) -> None:
    async with connected(dsn, application_name="tests") as conn:
        await migrate(conn, "hub")


@pytest.fixture(scope="session")
def _mortal_postgres() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="stakewire-test-"))
    server = EmbeddedPostgres(folder, settings={"shared_buffers": "16MB"})
    try:
        server.start()
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _migrate(server.dsn)).result()
        yield server
    finally:
        server.stop(immediately=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mortal_postgres(_mortal_postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    """A server with the schema `hub` that the test may kill."""
    _mortal_postgres.start()
    return _mortal_postgres


@pytest.fixture(params=["postgres", "nats"])
async def mortal(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    """Either carrier, on a server of the test's own that it may kill."""
    if request.param == "postgres":
        postgres: EmbeddedPostgres = request.getfixturevalue("mortal_postgres")

        async def crash() -> None:
            await in_thread(lambda: postgres.stop(immediately=True))

        async def come_back() -> None:
            await in_thread(postgres.start)

        made = Carrier(postgres_at(postgres.dsn, prefix=uuid.uuid4().hex), crash, come_back)
        yield made
        await made.close()
        return
    with NatsServer() as server:

        async def kill() -> None:
            await asyncio.to_thread(server.kill)

        async def start() -> None:
            await asyncio.to_thread(server.start)

        made = Carrier(nats_at(server.url, "tests"), kill, start)
        yield made
        await made.close()
