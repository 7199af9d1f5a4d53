"""Start-up refusals and least privilege, on a real PostgreSQL."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest

from stakewire.errors import ConfigError, Unavailable
from stakewire.postgres.connect import (
    SIDES,
    Side,
    app_role,
    check_durability,
    connected,
    open_pool,
    read_role,
)
from stakewire.postgres.embedded import EmbeddedPostgres

# What is never edited, by whom the side runs as; a table that is missing here may be updated.
APPEND_ONLY: dict[Side, tuple[str, ...]] = {
    "wallet": ("transaction", "reversal", "house_posting", "admin_act"),
    "sportsbook": ("callback_attempt", "admin_act"),
    "hub": (),
}


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_forgets_is_refused(postgres: EmbeddedPostgres, setting: str) -> None:
    """A real server, switched for a moment: neither the check nor a pool accepts it."""
    async with connected(postgres.dsn, application_name="tests") as conn:
        await conn.execute(f"ALTER SYSTEM SET {setting} = off")
        await conn.execute("SELECT pg_reload_conf()")
        try:
            await _becomes(conn, setting, "off")
            with pytest.raises(ConfigError, match=f"{setting}=off.*can lose money"):
                await check_durability(conn)
            with pytest.raises(ConfigError, match=f"{setting}=off"):
                await open_pool(postgres.dsn, schema="wallet", role=None)
        finally:
            await conn.execute(f"ALTER SYSTEM RESET {setting}")
            await conn.execute("SELECT pg_reload_conf()")
            await _becomes(conn, setting, "on")


async def test_a_database_or_user_with_synchronous_commit_off_is_refused(
    postgres: EmbeddedPostgres, database_url: str
) -> None:
    """The setting counts where our sessions would see it, not only in the server's file."""
    async with connected(database_url, application_name="tests") as conn:
        name = await conn.fetchval("SELECT current_database()")
        await check_durability(conn)
        await conn.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(ConfigError, match="synchronous_commit=off"):
        await open_pool(database_url, schema="wallet", role=None)


async def test_a_database_that_mangles_texts_is_refused(postgres: EmbeddedPostgres) -> None:
    """Anything but UTF-8; the sentence says how to make a good one."""
    async with connected(postgres.dsn, application_name="tests") as conn:
        await conn.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0"
        )
    async with connected(postgres.dsn_of("latin"), application_name="tests") as conn:
        with pytest.raises(ConfigError, match=r"LATIN1.*ENCODING 'UTF8'"):
            await check_durability(conn)


async def test_who_cannot_be_reached_and_what_does_not_exist_are_told_apart(
    postgres: EmbeddedPostgres,
) -> None:
    """A server that is away may come back (Unavailable); a wrong name will not (ConfigError)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match="cannot be reached"):
            await open_pool(f"postgresql://u@127.0.0.1:{free.getsockname()[1]}/d", schema="wallet", role=None)
    with pytest.raises(ConfigError, match="CREATE DATABASE"):
        await open_pool(postgres.dsn_of("nowhere"), schema="wallet", role=None)
    with pytest.raises(ConfigError, match="not a PostgreSQL address"):
        await open_pool("mysql://u@h/d", schema="wallet", role=None)


async def test_a_pool_acts_as_the_sides_role_and_sees_its_schema_alone(database_url: str) -> None:
    """Also after a connection was given back and reset."""
    pool = await open_pool(
        database_url, schema="wallet", role=app_role("wallet"), max_size=1, application_name="tests"
    )
    try:
        for _ in range(2):
            row = await pool.fetchrow("SELECT current_user AS who, current_schemas(false) AS schemas")
            assert row is not None
            assert (row["who"], row["schemas"]) == (app_role("wallet"), ["wallet"])
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.fetchval("SELECT count(*) FROM sportsbook.bet")
    finally:
        await pool.close()


@pytest.fixture
async def anybody(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A superuser's connection, which may become any role."""
    async with connected(database_url, application_name="tests") as conn:
        yield conn


@pytest.mark.parametrize(("side", "table"), [(side, table) for side in SIDES for table in APPEND_ONLY[side]])
@pytest.mark.parametrize("act", ["UPDATE", "DELETE", "TRUNCATE"])
async def test_the_app_role_cannot_rewrite_what_is_append_only(
    anybody: asyncpg.Connection[asyncpg.Record], side: Side, table: str, act: str
) -> None:
    """Whoever takes over a running side can add to its history, and cannot change it."""
    column = await anybody.fetchval(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = $1 AND table_name = $2 AND is_identity = 'NO' LIMIT 1",
        side,
        table,
    )
    assert column, f"{side}.{table} does not exist"
    await anybody.execute(f"SET ROLE {app_role(side)}")
    statement = {
        "UPDATE": f'UPDATE {side}.{table} SET "{column}" = "{column}"',
        "DELETE": f"DELETE FROM {side}.{table}",
        "TRUNCATE": f"TRUNCATE {side}.{table}",
    }[act]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await anybody.execute(statement)


@pytest.mark.parametrize("side", SIDES)
async def test_no_role_of_ours_may_change_the_schema_or_the_other_side(
    anybody: asyncpg.Connection[asyncpg.Record], side: Side
) -> None:
    """Neither to make tables, nor to drop them, nor to mark migrations, nor to look at the other side."""
    others = [one for one in SIDES if one != side]
    for role in (app_role(side), read_role(side)):
        await anybody.execute(f"SET ROLE {role}")
        for statement in (
            f"CREATE TABLE {side}.extra ()",
            f"DROP TABLE {side}.migration",
            f"DELETE FROM {side}.migration",
            *(f"SELECT * FROM {other}.migration" for other in others),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await anybody.execute(statement)
        await anybody.execute("RESET ROLE")


@pytest.mark.parametrize("side", SIDES)
async def test_the_read_role_sees_no_secret_and_changes_nothing(
    anybody: asyncpg.Connection[asyncpg.Record], side: Side
) -> None:
    """No table of the side gives the reports' role more than SELECT."""
    granted = await anybody.fetch(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = $1 AND privilege_type <> 'SELECT'",
        read_role(side),
    )
    assert [tuple(row) for row in granted] == []
    secrets = await anybody.fetch(
        "SELECT table_name FROM information_schema.role_table_grants"
        " WHERE grantee = $1 AND table_name LIKE '%secret%'",
        read_role(side),
    )
    assert [row["table_name"] for row in secrets] == []


async def _becomes(conn: asyncpg.Connection[asyncpg.Record], setting: str, value: str) -> None:
    """Wait until a reload reached this session, which happens between two of its statements."""
    while await conn.fetchval("SELECT current_setting($1)", setting) != value:
        await conn.fetchval("SELECT pg_sleep(0.01)")
