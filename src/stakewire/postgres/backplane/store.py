"""The backplane of hub processes that share a PostgreSQL: a cursor over rows, with NOTIFY as a wake-up only.

Positions come from a row that is locked until the messages are committed, so they become visible in order
and without gaps: a reader that selects what lies behind its cursor misses nothing, and all see one order.
A lost NOTIFY costs at most `poll_seconds`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from stakewire.clock import Clock
from stakewire.errors import ConfigError
from stakewire.ids import Tokens
from stakewire.postgres.backplane.limits import BackplaneLimits
from stakewire.postgres.backplane.reader import Reader
from stakewire.postgres.backplane.writer import Writer
from stakewire.postgres.connect import DRIVER_ERRORS, app_role, connected, open_pool
from stakewire.postgres.migrate import check

_AGAIN_SECONDS = 0.5  # between two attempts to reach a server that is away
_LEAVE_SECONDS = 1.0  # for a connection to be given back

_log = structlog.get_logger("stakewire.hub")


class PostgresBackplane:
    """A `net.signalr.backplane.Backplane` on the schema `hub`; one object per hub and process.

    The processes of one hub give the same `channel`. Two connections are used: one reads and listens, one
    writes. What was published after `start` returned, by whichever process, reaches `receive`.
    """

    def __init__(
        self, dsn: str, *, channel: str, clock: Clock, tokens: Tokens, limits: BackplaneLimits | None = None
    ) -> None:
        self._dsn = dsn
        self._channel = channel
        self._tokens = tokens
        self._limits = limits or BackplaneLimits()
        self._writer = Writer(channel, self._limits, tokens, clock, on_answer=lambda: self._answers("writer"))
        self._tasks: list[asyncio.Task[None]] = []
        self._away: set[str] = set()
        self._left = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Messages that are not with the server yet."""
        return self._writer.waiting

    @property
    def connected(self) -> bool:
        """Whether the server answered last time, to the reader and to the writer."""
        return not self._away

    async def start(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """See `Backplane.start`.

        Raises:
            ConfigError: the schema `hub` is not there or not current, or the address is wrong.
            Unavailable: the server does not answer.
        """
        async with connected(self._dsn, application_name="stakewire hub") as conn:
            if problems := await check(conn, "hub"):
                raise ConfigError("; ".join(problems))
        self._pool = await open_pool(
            self._dsn,
            schema="hub",
            role=app_role("hub"),
            min_size=0,
            max_size=2,
            application_name=f"stakewire hub {self._channel}",
            # The plans of a queue: one made while the table is empty would read all of it once it is full.
            enable_seqscan="off",
            enable_hashjoin="off",
            enable_mergejoin="off",
        )
        self._reader = Reader(
            self._channel,
            self._limits,
            self._tokens,
            receive=receive,
            lost=lost,
            on_answer=lambda: self._answers("reader"),
        )
        async with self._pool.acquire() as conn:
            await self._reader.begin(conn)
        self._tasks = [
            asyncio.create_task(self._lasting("reader", self._reader.run)),
            asyncio.create_task(self._lasting("writer", self._writer.run)),
        ]

    def publish(self, data: bytes) -> None:
        """See `Backplane.publish`; raises as it does."""
        self._writer.put(data)

    async def stop(self) -> None:
        """See `Backplane.stop`."""
        if not self._tasks:
            return
        self._writer.end()
        await asyncio.wait(self._tasks[1:], timeout=self._limits.stop_seconds)
        if self.waiting:
            _log.error("messages are lost: the backplane stayed away", messages=self.waiting)
        self._left.set()
        self._reader.end()
        await asyncio.wait(self._tasks, timeout=_LEAVE_SECONDS)
        self._pool.terminate()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._tasks = []

    async def _lasting(self, end: str, work: Callable[[Any], Awaitable[None]]) -> None:
        """Do `work` on a connection, and again on another whenever that is lost, until it is done."""
        while not self._left.is_set():
            try:
                await self._once(work)
                return
            except DRIVER_ERRORS as fault:
                if end not in self._away:
                    _log.warning("the backplane is away", end=end, error=str(fault) or type(fault).__name__)
                self._away.add(end)
            try:
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._left.wait()
            except TimeoutError:
                pass

    async def _once(self, work: Callable[[Any], Awaitable[None]]) -> None:
        conn = await self._pool.acquire(timeout=self._limits.answer_seconds)
        try:
            await work(conn)
        except BaseException:
            conn.terminate()  # to give it back in order would wait for a server that may not answer
            raise
        finally:
            await self._pool.release(conn, timeout=_LEAVE_SECONDS)

    def _answers(self, end: str) -> None:
        if end in self._away:
            self._away.discard(end)
            _log.info("the backplane is back", end=end)
