"""Connections to PostgreSQL: pools that act as the side's own role, and the refusals at start-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import asyncpg

from stakewire.errors import ConfigError, Unavailable

Side = Literal["wallet", "sportsbook", "hub"]
SIDES: tuple[Side, ...] = ("wallet", "sportsbook", "hub")

LEAST_SERVER = 15
STATEMENT_TIMEOUT_MS = 30_000
CONNECT_TIMEOUT = 10.0  # seconds

DRIVER_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What may come of a statement. The last: its connection ended while the driver was between two states."""

# What would lose acknowledged money when the machine or the server dies.
_MUST_NOT_BE_OFF = ("fsync", "synchronous_commit", "full_page_writes")

_FACTS = """
SELECT current_setting('server_version_num')::int / 10000 AS major,
       current_setting('server_version') AS version,
       current_setting('server_encoding') AS encoding,
       pg_is_in_recovery() AS standby,
       current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('full_page_writes') AS full_page_writes
"""


def app_role(side: Side) -> str:
    """The role a running side acts as: may append to the ledger, may not rewrite it."""
    return f"stakewire_{side}_app"


def read_role(side: Side) -> str:
    """The role of reports: may look at everything of its side and change nothing."""
    return f"stakewire_{side}_read"


async def connect(dsn: str, *, application_name: str, **settings: str) -> asyncpg.Connection[asyncpg.Record]:
    """Open one connection; `settings` are server settings of the session.

    Raises:
        Unavailable: nothing answers there, or the server is starting, stopping or full.
        ConfigError: the address, the user, the password or the database is wrong.
    """
    try:
        return await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT, server_settings={"application_name": application_name, **settings}
        )
    except Exception as error:
        raise _explain(error) from error


@asynccontextmanager
async def connected(dsn: str, *, application_name: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """One connection for the length of a block; raises as `connect` does.

    Its end raises nothing: a connection that was lost meanwhile is closed as well.
    """
    conn = await connect(dsn, application_name=application_name)
    try:
        yield conn
    finally:
        with suppress(*DRIVER_ERRORS, TimeoutError):
            await conn.close()


async def open_pool(
    dsn: str,
    *,
    schema: Side,
    role: str | None,
    min_size: int = 1,
    max_size: int = 10,
    application_name: str = "stakewire",
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    **settings: str,
) -> asyncpg.Pool[asyncpg.Record]:
    """Open a pool whose connections see `schema` alone and act as `role`, where it was granted.

    The durability of the server is checked first. `settings` are further server settings of each session.

    Raises:
        ConfigError: the server would lose money, is too old, or the address is wrong.
        Unavailable: the server does not answer.
    """
    async with connected(dsn, application_name=application_name) as probe:
        await check_durability(probe)
        acts_as = role if role is not None and await may_act_as(probe, role) else None
    session = {
        "application_name": application_name,
        "search_path": schema,
        "jit": "off",
        "statement_timeout": str(statement_timeout_ms),
        # A client that went away in the middle of a transaction must not keep an account locked.
        "idle_in_transaction_session_timeout": str(statement_timeout_ms),
        "timezone": "UTC",
        **settings,
    }
    if acts_as is not None:
        session["role"] = acts_as
    try:
        return await asyncpg.create_pool(
            dsn, min_size=min_size, max_size=max_size, timeout=CONNECT_TIMEOUT, server_settings=session
        )
    except Exception as error:
        raise _explain(error) from error


async def check_durability(conn: Any) -> None:
    """Refuse a server on which an acknowledged transaction could be lost or a text could be mangled.

    Raises:
        ConfigError: says which setting is wrong and what to do.
    """
    facts = await conn.fetchrow(_FACTS)
    if facts["major"] < LEAST_SERVER:
        raise ConfigError(f"PostgreSQL {facts['version']} is too old; {LEAST_SERVER} or newer is needed")
    if facts["standby"]:
        raise ConfigError("this PostgreSQL is a read-only standby; name the primary in --database-url")
    if facts["encoding"] != "UTF8":
        raise ConfigError(
            f"the database's encoding is {facts['encoding']}; "
            "make one with: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    for setting in _MUST_NOT_BE_OFF:
        if facts[setting] == "off":
            raise ConfigError(
                f"PostgreSQL runs with {setting}=off, which can lose money that was already acknowledged; "
                f"set {setting}=on"
            )


async def may_act_as(conn: Any, role: str) -> bool:
    """Whether the role exists and we may SET it, which PostgreSQL 16 tells apart from being its member."""
    return bool(
        await conn.fetchval(
            "SELECT bool_or(pg_has_role(rolname,"
            " CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END))"
            " FROM pg_roles WHERE rolname = $1",
            role,
        )
    )


def _explain(error: Exception) -> ConfigError | Unavailable:
    """Turn a failed connection into the sentence for whoever must mend it; never shows the password."""
    match error:
        case ConfigError() | Unavailable():
            return error
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return ConfigError(f"PostgreSQL refused the user or the password of --database-url: {error}")
        case asyncpg.InvalidCatalogNameError():
            return ConfigError(f"{error}; create it with: CREATE DATABASE ... ENCODING 'UTF8'")
        case asyncpg.ClientConfigurationError() | ValueError():
            return ConfigError(f"--database-url is not a PostgreSQL address: {error}")
        case asyncpg.InsufficientPrivilegeError():
            return ConfigError(f"PostgreSQL refused: {error}")
        case TimeoutError() | asyncio.TimeoutError():
            return Unavailable(f"PostgreSQL did not answer within {CONNECT_TIMEOUT:.0f} s")
        case OSError() | asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return Unavailable(f"PostgreSQL cannot be reached: {error}")
        case _:
            raise error
