"""One PostgreSQL for the whole run, and fresh migrated databases cut from a template for whoever asks."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from stakewire.postgres.connect import SIDES, Side, connected
from stakewire.postgres.embedded import EmbeddedPostgres
from stakewire.postgres.migrate import migrate


class NewDatabase(Protocol):
    """Makes a fresh database with the schemas of the sides named (both by default); gives its address."""

    def __call__(self, *sides: Side) -> str: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: at the end of a parallel run one process would work, and the others wait."""
    items.sort(key=lambda item: ("/kill/" not in str(item.path), "/acceptance/" not in str(item.path)))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for real processes and their databases; one that a failed test left running is stopped.

    Not in pytest's own: it takes away what lets the database's user pass, when another run begins.
    """
    path = Path(tempfile.mkdtemp(prefix="stakewire-run-"))
    yield path
    for version in path.glob("**/postgres/PG_VERSION"):
        with EmbeddedPostgres(version.parent.parent):
            pass
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The run's own server: real, durable, in a folder that goes away with it."""
    folder = Path(tempfile.mkdtemp(prefix="stakewire-test-"))
    server = EmbeddedPostgres(folder, settings={"shared_buffers": "64MB", "max_connections": "300"})
    try:
        server.start()
        yield server
    finally:
        server.stop(immediately=True)  # what it would write down goes away with the folder
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(postgres: EmbeddedPostgres) -> NewDatabase:
    """Fresh databases, as many as asked for; each is a copy of a template migrated once."""
    numbers = itertools.count(1)
    templates: dict[tuple[Side, ...], str] = {}

    def make(*sides: Side) -> str:
        wanted = tuple(sorted(set(sides or SIDES)))
        if wanted not in templates:
            template = "template_" + "_".join(wanted)
            _run_apart(_create(postgres, template, "template0"))
            _run_apart(_migrate(postgres.dsn_of(template), wanted))
            templates[wanted] = template
        name = f"test_{next(numbers)}"
        _run_apart(_create(postgres, name, templates[wanted]))
        return postgres.dsn_of(name)

    return make


@pytest.fixture
def database_url(new_database: NewDatabase) -> str:
    """A database with both schemas, for one test."""
    return new_database()


@pytest.fixture(scope="module")
def module_database_url(new_database: NewDatabase) -> str:
    """A database with both schemas, shared by the tests of one module."""
    return new_database()


def _run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run in a loop of its own, whatever loop the test or fixture that asks runs in."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def _create(postgres: EmbeddedPostgres, name: str, template: str) -> None:
    async with connected(postgres.dsn_of("postgres"), application_name="tests") as conn:
        await conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


async def _migrate(dsn: str, sides: tuple[Side, ...]) -> None:
    async with connected(dsn, application_name="tests") as conn:
        for side in sides:
            await migrate(conn, side)
