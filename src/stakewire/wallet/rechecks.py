"""Requests whose signature no known secret made wait here for one reload of the operators.

A rotated secret is thus accepted at once, in every worker, before the poll would have brought it. Only
what is still wrong after the reload counts against the sender's address, so signed traffic is never limited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

MAX_WAITING = 4096
MAX_WAITING_BYTES = 8 * 1024 * 1024  # nobody who can write here has shown who he is
RELOAD_TIMEOUT = 2.0  # seconds; a database that is away must not hold wrongly signed requests


class Rechecks:
    """Calls each waiting `settle` once, after a reload that began when it already waited."""

    def __init__(self, refresh: Callable[[], Awaitable[None]]) -> None:
        self._refresh = refresh
        self._waiting: list[tuple[Callable[[], None], int]] = []
        self._count = 0  # those whose reload is under way wait too
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None

    def add(self, settle: Callable[[], None], size: int) -> None:
        """Let `settle` and the `size` bytes that it holds wait.

        When too many requests or bytes wait already, it is called at once, without a reload.
        """
        if self._count >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES:
            settle()
            return
        self._count += 1
        self._bytes += size
        self._waiting.append((settle, size))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                waited, self._waiting = self._waiting, []
                await self.reload()
                for settle, size in waited:
                    self._count -= 1
                    self._bytes -= size
                    settle()
        finally:
            self._task = None

    async def reload(self) -> None:
        """Wait for a reload that begins now or soon; give up after 2 s, or when the database is away."""
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT):
                await self._refresh()
        except Exception as error:
            log.warning("operators_not_reloaded", error=str(error) or type(error).__name__)
