"""The reading end: hands on what lies behind a cursor, and says when something there is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from stakewire.ids import Tokens
from stakewire.postgres.backplane.limits import BackplaneLimits
from stakewire.postgres.backplane.sql import QUERIES, make_channel
from stakewire.wire.backplane.numbers import Arrivals, Foreign

CHANNEL = "stakewire_hub"
"""NOTIFY on this channel names the hub that has something new; only a hint."""

_log = structlog.get_logger("stakewire.hub")


class Reader:
    """One process's cursor on one hub's messages; it outlives the connections it reads on."""

    def __init__(
        self,
        name: str,
        limits: BackplaneLimits,
        tokens: Tokens,
        *,
        receive: Callable[[bytes], None],
        lost: Callable[[], None],
        on_answer: Callable[[], None],
    ) -> None:
        self._name = name
        self._limits = limits
        self._tokens = tokens
        self._receive = receive
        self._lost = lost
        self._on_answer = on_answer
        self._arrivals = Arrivals()
        self._hinted = asyncio.Event()
        self._ending = False
        self._epoch = ""
        self._cursor = 0

    async def begin(self, conn: Any) -> None:
        """Stand behind the newest message."""
        row = None
        while row is None:
            await make_channel(conn, self._name, self._tokens, timeout=self._limits.answer_seconds)
            row = await conn.fetchrow(
                QUERIES["where_it_stands"], self._name, timeout=self._limits.answer_seconds
            )
        self._epoch, self._cursor = row

    def end(self) -> None:
        """Let `run` return."""
        self._ending = True
        self._hinted.set()

    async def run(self, conn: Any) -> None:
        """Until the connection is lost, or `end`: read all there is, wait for a hint or the next poll."""
        conn.add_termination_listener(self._on_end)
        await conn.add_listener(CHANNEL, self._on_hint)
        while not self._ending:
            self._hinted.clear()
            if await self._read(conn) < self._limits.batch:
                await self._hint_or_poll()
        conn.remove_termination_listener(self._on_end)
        await conn.remove_listener(CHANNEL, self._on_hint)

    def _on_hint(self, _conn: object, _pid: int, _channel: str, name: object) -> None:
        if name == self._name:
            self._hinted.set()

    def _on_end(self, _conn: object) -> None:
        self._hinted.set()  # the next read finds the connection gone

    async def _hint_or_poll(self) -> None:
        try:
            async with asyncio.timeout(self._limits.poll_seconds):
                await self._hinted.wait()
        except TimeoutError:
            pass

    async def _read(self, conn: Any) -> int:
        """Hand on the next messages; give how many there were."""
        rows = await conn.fetch(
            QUERIES["read"], self._name, self._cursor, self._limits.batch, timeout=self._limits.answer_seconds
        )
        self._on_answer()
        if not rows or rows[0]["epoch"] != self._epoch:
            await self.begin(conn)
            self._miss("the database server has crashed or was replaced")
            return 0
        newest: int = rows[0]["newest"]
        found = [row for row in rows if row["position"] is not None]
        for row in found:
            if row["position"] != self._cursor + 1:
                break
            self._cursor += 1
            self._hand_on(row["body"])
        else:
            if found or newest == self._cursor:
                return len(found)
        self._cursor = newest
        self._miss("this process did not read for too long")
        return 0

    def _hand_on(self, message: bytes) -> None:
        try:
            missed, body = self._arrivals.take(message)
        except Foreign as fault:
            _log.warning("a message between hub processes is passed over", error=str(fault))
            return
        if missed:
            self._miss("a publisher's messages are not all there")
        if body is not None:
            self._receive(body)

    def _miss(self, why: str) -> None:
        _log.warning("messages between hub processes were missed", hub=self._name, why=why)
        self._lost()
