"""The writing end: what waits goes out in batches, and old messages are swept away behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from stakewire.clock import Clock
from stakewire.ids import Tokens
from stakewire.postgres.backplane.limits import BackplaneLimits
from stakewire.postgres.backplane.sql import QUERIES, make_channel
from stakewire.wire.backplane.numbers import Outgoing

_FORGET_FLOOR = 1000  # sweeps after which one looks again from the very beginning


class Writer:
    """One process's queue to one hub's channel; it outlives the connections it writes on."""

    def __init__(
        self,
        name: str,
        limits: BackplaneLimits,
        tokens: Tokens,
        clock: Clock,
        *,
        on_answer: Callable[[], None],
    ) -> None:
        self._name = name
        self._limits = limits
        self._tokens = tokens
        self._clock = clock
        self._on_answer = on_answer
        self._outgoing = Outgoing(tokens, max_messages=limits.max_waiting, max_bytes=limits.max_waiting_bytes)
        self._woken = asyncio.Event()
        self._ending = False
        self._since_sweep = 0
        self._swept_at = clock.monotonic()
        self._sweeps = 0
        self._floor = 0

    @property
    def waiting(self) -> int:
        """Messages that are not with the server yet."""
        return len(self._outgoing)

    def put(self, body: bytes) -> None:
        """Take a message; raises as `Outgoing.put` does."""
        self._outgoing.put(body)
        self._woken.set()

    def end(self) -> None:
        """Let `run` return once nothing waits."""
        self._ending = True
        self._woken.set()

    async def run(self, conn: Any) -> None:
        """Until the connection is lost, or everything is written after `end`."""
        while True:
            self._woken.clear()
            while batch := self._outgoing.first(
                max_messages=self._limits.batch, max_bytes=self._limits.batch_bytes
            ):
                await self._write(conn, batch)
                await self._sweep(conn)
            if self._ending:
                return
            await self._woken.wait()

    async def _write(self, conn: Any, batch: list[bytes]) -> None:
        """One batch; if its answer is lost it is written again later, and readers know the numbers."""
        while not await conn.fetch(
            QUERIES["publish"], self._name, batch, timeout=self._limits.answer_seconds
        ):
            await make_channel(conn, self._name, self._tokens, timeout=self._limits.answer_seconds)
        self._outgoing.written(len(batch))
        self._on_answer()
        self._since_sweep += len(batch)

    async def _sweep(self, conn: Any) -> None:
        """Take old messages away, up to twice as many as were written since: small steps that keep up."""
        limits, now = self._limits, self._clock.monotonic()
        if self._since_sweep < limits.batch and now - self._swept_at < limits.keep_seconds / 4:
            return
        self._sweeps += 1
        if self._sweeps % _FORGET_FLOOR == 0:
            self._floor = 0  # another process's sweep may have been broken off
        gone = await conn.fetch(
            QUERIES["sweep"],
            self._name,
            self._floor,
            timedelta(seconds=limits.keep_seconds),
            limits.keep_messages,
            max(2 * self._since_sweep, limits.batch),
            timeout=self._limits.answer_seconds,
        )
        if gone:
            self._floor = min(row[0] for row in gone) - 1
        self._since_sweep, self._swept_at = 0, now
