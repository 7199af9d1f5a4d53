"""Whole copies of the schemas in a file, and back into an empty database, with the server's own programs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from stakewire.errors import ConfigError, Conflict, NotFound, Unavailable
from stakewire.postgres.connect import Side
from stakewire.postgres.embedded import server_program
from stakewire.postgres.migrate import make_roles

# Processes started after the copy was taken had writer numbers that the copy does not know. Ids made with
# them may be known to others: skip so many numbers that none is given out twice.
SKIPPED_WRITERS = 10_000

_SKIP = {
    "wallet": "INSERT INTO wallet.writer (number, taken_by, taken_at)"
    " SELECT coalesce(max(number), 0) + $1, 'restore', now() FROM wallet.writer",
    "sportsbook": "SELECT setval(pg_get_serial_sequence('sportsbook.writer', 'number')::regclass,"
    " (SELECT coalesce(max(number), 0) + $1 FROM sportsbook.writer))",
}


async def dump(conn: Any, address: str, sides: Sequence[Side], file: Path) -> list[Side]:
    """Write a copy of the sides' schemas as of one moment, and give the sides that were there.

    `conn` is a connection to `address`.

    Raises:
        NotFound: none of the schemas is there.
        Conflict: the file exists.
        Unavailable: the copy could not be made; nothing is left of it.
    """
    present = await _present(conn, sides)
    if not present:
        raise NotFound(f"the database has no schema {' or '.join(sides)}")
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Conflict(f"{file} exists; choose another name", code="FILE_EXISTS") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from None
    schemas = [f"--schema={side}" for side in present]
    try:
        await _run("pg_dump", address, "--format=custom", "--no-owner", f"--file={file}", *schemas)
    except BaseException:
        file.unlink(missing_ok=True)  # noqa: ASYNC240 - one call, at the end of a command
        raise
    return present


async def restore(conn: Any, address: str, sides: Sequence[Side], file: Path) -> list[Side]:
    """Fill an empty database from a copy, all or nothing, and give the sides that were in it.

    `conn` is a connection to `address`.

    Raises:
        Conflict: one of the schemas is there already.
        Unavailable: the file cannot be read back; nothing was changed.
    """
    if present := await _present(conn, sides):
        raise Conflict(
            f"the database has a schema {present[0]} already; restore into an empty database",
            code="NOT_EMPTY",
        )
    for side in sides:
        await make_roles(conn, side)
    await _run("pg_restore", address, "--single-transaction", "--exit-on-error", "--no-owner", str(file))
    restored = await _present(conn, sides)
    for side in restored:
        await conn.fetchval(_SKIP[side], SKIPPED_WRITERS)
    return restored


async def _present(conn: Any, sides: Sequence[Side]) -> list[Side]:
    return [side for side in sides if await conn.fetchval("SELECT to_regnamespace($1) IS NOT NULL", side)]


async def _run(program: str, address: str, *arguments: str) -> None:
    """Run one of the server's programs; the password by the environment, as everybody sees arguments."""
    parts = urlsplit(address)
    environment = dict(os.environ)
    if parts.password:
        environment["PGPASSWORD"] = unquote(parts.password)
        user = parts.netloc.partition(":")[0]
        parts = parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}")
    process = await asyncio.create_subprocess_exec(
        str(server_program(program)),
        f"--dbname={urlunsplit(parts)}",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    _, words = await process.communicate()
    if process.returncode:
        lines = words.decode(errors="replace").strip().splitlines()
        raise Unavailable(f"{program} failed: {' / '.join(lines[-3:]) or f'exit code {process.returncode}'}")
