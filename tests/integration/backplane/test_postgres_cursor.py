"""The cursor on PostgreSQL: what a NOTIFY hides, what a slow reader misses, what a crash forgets."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable

import asyncpg
import psutil
import pytest
from tests.integration.backplane.carriers import LOST, Carrier, Process, postgres_at

from stakewire.errors import ConfigError
from stakewire.postgres.backplane.limits import BackplaneLimits
from stakewire.postgres.connect import app_role, connected
from stakewire.postgres.embedded import EmbeddedPostgres, in_thread

KEEPS_20 = BackplaneLimits(poll_seconds=0.05, batch=10, keep_messages=20)


@pytest.fixture
async def db(hub_database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    async with connected(hub_database, application_name="tests") as conn:
        yield conn


@pytest.fixture
async def processes(hub_database: str) -> AsyncIterator[Callable[..., object]]:
    started: list[Process] = []

    async def make(limits: BackplaneLimits | None = None) -> Process:
        process = Process(postgres_at(hub_database, limits)("chat"))
        await process.start()
        started.append(process)
        return process

    yield make
    for process in started:
        await process.backplane.stop()


Make = Callable[..., "asyncio.Future[Process]"]


async def test_a_lost_notify_costs_one_poll(processes: Make, db: asyncpg.Connection[asyncpg.Record]) -> None:
    """A message that nobody was told of is found by looking."""
    reader = await processes(BackplaneLimits(poll_seconds=0.05))
    await _write_silently(db, 1)
    await reader.until(lambda: bool(reader.heard))


async def test_positions_have_no_gaps_and_one_order(
    processes: Make, db: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Also while a publisher is held between its positions and its commit, the others wait behind it."""
    one, other = await processes(), await processes()
    async with db.transaction():
        await db.execute("UPDATE hub.channel SET position = position + 1")
        one.backplane.publish(b"second")
        await _blocked(db)
        assert other.heard == []
        await db.execute(
            "INSERT INTO hub.message (channel, position, body) SELECT name, position, $1 FROM hub.channel",
            _numbered(b"first"),
        )
    await other.hears(b"first", b"second")
    await one.hears(b"first", b"second")


async def test_a_publisher_that_rolls_back_leaves_no_gap(
    processes: Make, db: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Positions given out in a transaction that fails are given out again."""
    one = await processes()
    transaction = db.transaction()
    await transaction.start()
    await db.execute("UPDATE hub.channel SET position = position + 10")
    await transaction.rollback()
    one.backplane.publish(b"a")
    await one.hears(b"a")
    assert await db.fetchval("SELECT position FROM hub.channel") == 1


async def test_a_reader_that_fell_behind_is_told_and_goes_on(
    processes: Make, db: asyncpg.Connection[asyncpg.Record]
) -> None:
    """What was swept away before it looked is reported once; then it hears the new."""
    slow = await processes(BackplaneLimits(poll_seconds=0.05))
    await db.execute("UPDATE hub.channel SET position = position + 30")
    await slow.hears(LOST)
    slow.backplane.publish(b"new")
    await slow.hears(LOST, b"new")


async def test_old_messages_are_swept_in_small_steps(
    processes: Make, db: asyncpg.Connection[asyncpg.Record]
) -> None:
    """At most about `keep_messages` stay, and never a hole in the middle."""
    one = await processes(KEEPS_20)
    for n in range(200):
        one.backplane.publish(b"%d" % n)
    await one.until(lambda: len(one.heard) == 200)
    async with asyncio.timeout(10):
        while True:
            one.backplane.publish(b"~")
            kept = [row[0] for row in await db.fetch("SELECT position FROM hub.message ORDER BY 1")]
            if len(kept) <= 20 + 2 * KEEPS_20.batch:
                break
            await asyncio.sleep(0.01)
    assert kept == list(range(kept[0], kept[0] + len(kept)))
    assert LOST not in one.heard


async def test_a_clean_restart_of_the_server_loses_nothing(mortal_postgres: EmbeddedPostgres) -> None:
    """Readers go on from their cursor; nobody has to come again."""
    carrier = Carrier(postgres_at(mortal_postgres.dsn, KEEPS_20, uuid.uuid4().hex), _nothing, _nothing)
    one, other = await carrier.process(), await carrier.process()
    one.backplane.publish(b"before")
    await other.hears(b"before")
    await in_thread(lambda: mortal_postgres.stop())
    one.backplane.publish(b"meanwhile")
    await in_thread(mortal_postgres.start)
    await other.hears(b"before", b"meanwhile")
    await one.hears(b"before", b"meanwhile")
    await carrier.close()


async def test_a_crash_of_one_server_process_is_noticed(mortal_postgres: EmbeddedPostgres) -> None:
    """PostgreSQL then forgets unlogged tables without ever having been restarted."""
    carrier = Carrier(postgres_at(mortal_postgres.dsn, KEEPS_20, uuid.uuid4().hex), _nothing, _nothing)
    one, other = await carrier.process(), await carrier.process()
    one.backplane.publish(b"before")
    await other.hears(b"before")
    async with connected(mortal_postgres.dsn, application_name="tests") as conn:
        os.kill(conn.get_server_pid(), signal.SIGKILL)
    for process in (one, other):
        await process.until(lambda heard=process.heard: LOST in heard)  # type: ignore[misc]
    one.backplane.publish(b"after")
    await other.hears(b"before", LOST, b"after")
    await carrier.close()


async def test_a_server_that_hangs_is_left_and_found_again(mortal_postgres: EmbeddedPostgres) -> None:
    """Neither an error nor an end of the connection: no answer. What was asked twice arrives once."""
    limits = BackplaneLimits(poll_seconds=0.05, answer_seconds=0.3)
    carrier = Carrier(postgres_at(mortal_postgres.dsn, limits, uuid.uuid4().hex), _nothing, _nothing)
    one = await carrier.process()
    one.backplane.publish(b"before")
    await one.hears(b"before")
    pid = mortal_postgres.postmaster_pid()
    assert pid is not None
    server = [psutil.Process(pid), *psutil.Process(pid).children()]
    for process in server:
        process.suspend()
    try:
        one.backplane.publish(b"meanwhile")
        async with asyncio.timeout(20):
            while one.backplane.connected:
                await asyncio.sleep(0.01)
    finally:
        for process in server:
            process.resume()
    await one.hears(b"before", b"meanwhile")
    await carrier.close()


async def test_a_stopped_reader_holds_up_no_publisher(
    processes: Make, db: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Neither one that reads nothing nor a transaction that holds all messages in sight."""
    one, other = await processes(), await processes()
    async with db.transaction(isolation="repeatable_read"):
        await db.execute("LISTEN stakewire_hub")
        await db.fetch("SELECT * FROM hub.message")
        for n in range(20):
            one.backplane.publish(b"%d" % n)
        await other.hears(*(b"%d" % n for n in range(20)))


async def test_an_answer_that_was_lost_doubles_nothing(
    processes: Make, db: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A batch whose COMMIT was not confirmed is written again; readers know its numbers."""
    reader = await processes(BackplaneLimits(poll_seconds=0.05))
    reader.backplane.publish(b"a")
    await reader.hears(b"a")
    await db.execute("UPDATE hub.channel SET position = position + 1")
    await db.execute(
        "INSERT INTO hub.message (channel, position, body)"
        " SELECT channel, position + 1, body FROM hub.message WHERE position = 1"
    )
    reader.backplane.publish(b"b")
    await reader.hears(b"a", b"b")


async def test_without_the_schema_it_says_what_to_run(postgres: EmbeddedPostgres) -> None:
    """A hub does not start on a database that was not prepared."""
    with pytest.raises(ConfigError, match="stakewire db migrate"):
        await postgres_at(postgres.dsn)("chat").start(lambda _: None, lambda: None)


async def test_the_running_hub_may_do_no_more_than_it_must(db: asyncpg.Connection[asyncpg.Record]) -> None:
    """Messages once written are not altered, and epochs not exchanged."""
    await db.execute(f"SET ROLE {app_role('hub')}")
    for statement in (
        "UPDATE hub.message SET body = ''",
        "UPDATE hub.channel SET epoch = 'x'",
        "DELETE FROM hub.channel",
        "TRUNCATE hub.message",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(statement)


def _numbered(body: bytes) -> bytes:
    return b"\x01" + b"another process." + (1).to_bytes(8, "big") + body


async def _write_silently(db: asyncpg.Connection[asyncpg.Record], count: int) -> None:
    async with db.transaction():
        await db.execute("UPDATE hub.channel SET position = position + $1", count)
        await db.execute(
            "INSERT INTO hub.message (channel, position, body) SELECT name, position, $1 FROM hub.channel",
            _numbered(b"silent"),
        )


async def _blocked(db: asyncpg.Connection[asyncpg.Record]) -> None:
    """Wait until somebody waits for a row lock that this session holds."""
    async with asyncio.timeout(10):
        while not await db.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            await asyncio.sleep(0.01)


async def _nothing() -> None:
    pass
