"""Schema changes: numbered SQL files per side, each applied once, in one transaction, under a lock.

`postgres/<side>/migrations/0001_<name>.sql` begins with a comment that says when it runs:
`-- Runs before the new code.` (adds what the new code needs; the old code goes on beside it) or
`-- Runs after the new code.` (takes away what only the old code used). An applied file is never
edited: its checksum is kept, and a difference is a problem that `check` names.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

import asyncpg

from stakewire.errors import ConfigError
from stakewire.postgres.connect import Side, app_role, may_act_as, read_role

# Any two sessions that migrate one database wait for each other; the number means nothing else.
_LOCK = 0x5374616B65
_FILE_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_PHASE = re.compile(r"^--.*\b(before|after)\b.*\bnew code\b", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file; `phase` is `before` or `after` the new code."""

    number: int
    name: str
    phase: str
    sql: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What the database remembers of a migration."""

    number: int
    name: str
    checksum: str


def migrations(side: Side) -> list[Migration]:
    """The migrations this program carries for `side`, in order.

    Raises:
        ValueError: a file is misnamed, a number is missing or doubled, or a header does not say when it runs.
    """
    folder = resources.files(f"stakewire.postgres.{side}").joinpath("migrations")
    found = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        named = _FILE_NAME.match(file.name)
        sql = file.read_text(encoding="utf-8")
        phase = _PHASE.search(sql)
        if named is None or phase is None:
            raise ValueError(
                f"{side}/migrations/{file.name}: needs a name like 0001_word.sql "
                "and a line '-- Runs before the new code.' or '-- Runs after the new code.'"
            )
        checksum = hashlib.sha256(sql.encode()).hexdigest()
        found.append(Migration(int(named[1]), named[2], phase[1].lower(), sql, checksum))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"{side}/migrations: numbers must be 1, 2, 3 ... without gaps")
    return found


async def migrate(conn: Any, side: Side) -> list[Migration]:
    """Bring the schema of `side` up to date; give what was applied now, nothing if it was current.

    Safe to run twice, at once from two places, and again after being killed.

    Raises:
        ConfigError: the database is newer than this program or its files differ, or rights are missing.
    """
    carried = migrations(side)
    try:
        await _prepare(conn, side)
        done = []
        for migration in carried:
            if await _apply(conn, side, migration, carried):
                done.append(migration)
        return done
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(f"the database user may not change the schema {side}: {error}") from error


async def check(conn: Any, side: Side) -> list[str]:
    """Name what differs between the database and this program; an empty list is a current schema."""
    carried = migrations(side)
    if not await conn.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{side}.migration"):
        return [f"the schema {side} does not exist yet; run: stakewire db migrate"]
    applied = await _applied(conn, side)
    problems = _differences(side, carried, applied)
    problems += [
        f"{side}: migration {migration.number:04} {migration.name} is not applied; run: stakewire db migrate"
        for migration in carried[len(applied) :]
    ]
    return problems


def _differences(side: Side, carried: list[Migration], applied: list[Applied]) -> list[str]:
    problems = []
    for was in applied:
        if was.number > len(carried):
            problems.append(
                f"{side}: the database has migration {was.number:04} {was.name}, "
                "which this program does not know; install the newer stakewire"
            )
        elif carried[was.number - 1].checksum != was.checksum:
            problems.append(
                f"{side}: migration {was.number:04} {was.name} differs from the one applied; "
                "was the database made by another build of this program?"
            )
    return problems


async def _prepare(conn: Any, side: Side) -> None:
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await make_roles(conn, side)
        await conn.execute(f"CREATE SCHEMA IF NOT EXISTS {side}")
        await conn.execute(
            f"CREATE TABLE IF NOT EXISTS {side}.migration (number int PRIMARY KEY, name text NOT NULL,"
            " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        roles = f"{app_role(side)}, {read_role(side)}"
        await conn.execute(f"GRANT USAGE ON SCHEMA {side} TO {roles}")
        await conn.execute(f"GRANT SELECT ON {side}.migration TO {roles}")


async def _apply(conn: Any, side: Side, migration: Migration, carried: list[Migration]) -> bool:
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        applied = await _applied(conn, side)
        if problems := _differences(side, carried, applied):
            raise ConfigError("; ".join(problems))
        if len(applied) >= migration.number:
            return False
        await conn.execute(f"SET LOCAL search_path TO {side}")
        await conn.execute("SET LOCAL statement_timeout TO 0")
        await conn.execute(migration.sql)
        await conn.execute(
            f"INSERT INTO {side}.migration (number, name, checksum) VALUES ($1, $2, $3)",  # noqa: S608 - closed set
            migration.number,
            migration.name,
            migration.checksum,
        )
        return True


async def _applied(conn: Any, side: Side) -> list[Applied]:
    rows = await conn.fetch(f"SELECT number, name, checksum FROM {side}.migration ORDER BY number")  # noqa: S608
    return [Applied(row["number"], row["name"], row["checksum"]) for row in rows]


async def make_roles(conn: Any, side: Side) -> None:
    """Make the side's roles, which belong to the whole server, and let the migrating user act as them.

    Raises:
        ConfigError: a role is missing and this user may not make it; says what an administrator runs.
    """
    for role in (app_role(side), read_role(side)):
        if not await conn.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
            try:
                async with conn.transaction():
                    await conn.execute(f"CREATE ROLE {role} NOLOGIN")
            except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
                pass  # made by a migration of another database of this server, at the same moment
            except asyncpg.InsufficientPrivilegeError:
                user = await conn.fetchval("SELECT current_user")
                raise ConfigError(
                    f"the role {role} does not exist and this database user may not make it; "
                    f"let an administrator run: CREATE ROLE {role} NOLOGIN; GRANT {role} TO {user}"
                ) from None
        if not await may_act_as(conn, role):
            async with conn.transaction():
                await conn.execute(f"GRANT {role} TO CURRENT_USER")
