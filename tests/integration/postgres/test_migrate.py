"""Migrations on a real PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from stakewire.errors import ConfigError
from stakewire.postgres.connect import SIDES, Side, connected
from stakewire.postgres.embedded import EmbeddedPostgres
from stakewire.postgres.migrate import check, migrate, migrations


async def _empty(postgres: EmbeddedPostgres, name: str) -> str:
    async with connected(postgres.dsn_of("postgres"), application_name="tests") as conn:
        await conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return postgres.dsn_of(name)


@pytest.mark.parametrize("side", SIDES)
async def test_a_migrated_database_has_no_problems(side: Side, database_url: str) -> None:
    """After `migrate`, `check` finds nothing, and a second `migrate` does nothing."""
    async with connected(database_url, application_name="tests") as conn:
        assert await check(conn, side) == []
        assert await migrate(conn, side) == []


async def test_an_empty_database_is_named_with_what_to_do(postgres: EmbeddedPostgres) -> None:
    """`check` on an empty database says which command to run."""
    async with connected(await _empty(postgres, "m_empty"), application_name="tests") as conn:
        [problem] = await check(conn, "wallet")
    assert "stakewire db migrate" in problem


@pytest.mark.parametrize("side", SIDES)
async def test_migrations_at_once_apply_each_file_once(postgres: EmbeddedPostgres, side: Side) -> None:
    """Processes that start together neither fail nor apply a file twice."""
    dsn = await _empty(postgres, f"m_race_{side}")

    async def one() -> list[int]:
        async with connected(dsn, application_name="tests") as conn:
            return [migration.number for migration in await migrate(conn, side)]

    applied = await asyncio.gather(one(), one(), one())
    assert sorted(number for numbers in applied for number in numbers) == [
        migration.number for migration in migrations(side)
    ]


async def test_a_database_from_the_future_is_refused(database_url: str) -> None:
    """A program older than the database stops before it writes."""
    newest = len(migrations("wallet"))
    async with connected(database_url, application_name="tests") as conn:
        await conn.execute(f"INSERT INTO wallet.migration VALUES ({newest + 1}, 'tomorrow', 'x')")
        with pytest.raises(ConfigError, match="install the newer stakewire"):
            await migrate(conn, "wallet")
        [problem] = await check(conn, "wallet")
    assert "tomorrow" in problem


async def test_an_edited_migration_is_named(database_url: str) -> None:
    """A file changed after it was applied is a problem, not something to apply again."""
    async with connected(database_url, application_name="tests") as conn:
        await conn.execute("UPDATE wallet.migration SET checksum = 'other' WHERE number = 1")
        with pytest.raises(ConfigError, match="differs from the one applied"):
            await migrate(conn, "wallet")


async def test_a_user_without_rights_gets_one_sentence(postgres: EmbeddedPostgres) -> None:
    """An outside database whose user may not create schemas is a configuration error, not a stack trace."""
    dsn = await _empty(postgres, "m_rights")
    async with connected(dsn, application_name="tests") as conn:
        await conn.execute("CREATE ROLE m_nobody LOGIN")
    async with connected(dsn.replace("postgres@", "m_nobody@"), application_name="tests") as conn:
        with pytest.raises(ConfigError, match="may not"):
            await migrate(conn, "wallet")
