"""Folders for real processes."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from stakewire.postgres.connect import connected
from stakewire.postgres.embedded import EmbeddedPostgres


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder to run in, with `data` for the data; a database that a failed test left there is stopped."""
    path = Path(tempfile.mkdtemp(prefix="stakewire-run-"))
    yield path
    for pgdata in path.rglob("PG_VERSION"):
        if pgdata.parent.name == "postgres":
            server = EmbeddedPostgres(pgdata.parent.parent)
            server.start()
            server.stop()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def postgres_empty(postgres: EmbeddedPostgres) -> str:
    """Address of a database without any schema of ours."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    async with connected(postgres.dsn_of("postgres"), application_name="tests") as conn:
        await conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return postgres.dsn_of(name)
