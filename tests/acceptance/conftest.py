"""Databases for real processes."""

from __future__ import annotations

import uuid

import pytest

from stakewire.postgres.connect import connected
from stakewire.postgres.embedded import EmbeddedPostgres


@pytest.fixture
async def postgres_empty(postgres: EmbeddedPostgres) -> str:
    """Address of a database without any schema of ours."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    async with connected(postgres.dsn_of("postgres"), application_name="tests") as conn:
        await conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return postgres.dsn_of(name)
