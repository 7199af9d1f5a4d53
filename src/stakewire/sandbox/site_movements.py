"""Live movements: one look-out per watched player, however many pages watch it.

Server-sent events until the project has its hub. The look-out asks the wallet's history for what came
after its cursor; it sees every movement once, in posting order, whoever caused it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from stakewire.errors import StakewireError, Unavailable
from stakewire.sandbox.site_wallet import Account, Movement

SHOWN = 30  # movements that a page begins with
PAGE = 100  # movements of one look
QUEUED = 32  # updates a slow page may lag behind before it must begin anew


class WalletView(Protocol):
    """What the look-out asks of the wallet; raises StakewireError when it cannot say."""

    async def account(self, user: str, currency: str) -> Account: ...

    async def history(self, user: str, currency: str, *, after: str | None, limit: int) -> list[Movement]: ...


@dataclass(frozen=True, slots=True)
class Update:
    """What a page is told. Without `account` the wallet is out of reach; `whole` replaces the page's list."""

    account: Account | None
    movements: tuple[Movement, ...] = ()  # oldest first
    whole: bool = False


@dataclass(slots=True)
class _Watched:
    """One player who is looked after now."""

    pages: set[asyncio.Queue[Update | None]] = field(default_factory=set)
    recent: deque[Movement] = field(default_factory=lambda: deque(maxlen=SHOWN))
    account: Account | None = None
    cursor: str | None = None
    seen: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def tell(self, update: Update) -> None:
        for page in list(self.pages):
            try:
                page.put_nowait(update)
            except asyncio.QueueFull:
                self.pages.discard(page)  # it comes again, and begins with the whole list
                page.get_nowait()
                page.put_nowait(None)


class Movements:
    """Follows players' accounts in one currency; at most `max_streams` pages at once."""

    def __init__(self, wallet: WalletView, currency: str, *, poll: float, max_streams: int) -> None:
        self._wallet = wallet
        self._currency = currency
        self._poll = poll
        self._max = max_streams
        self._watched: dict[str, _Watched] = {}

    async def follow(self, user: str) -> AsyncGenerator[Update, None]:
        """The account as it is, then every change; ends when the page lags too far behind.

        Raises:
            Unavailable: too many pages are open.
        """
        if sum(len(watched.pages) for watched in self._watched.values()) >= self._max:
            raise Unavailable("too many pages are open; try again in a moment", code="TOO_MANY_STREAMS")
        watched = self._watched.setdefault(user, _Watched())
        page: asyncio.Queue[Update | None] = asyncio.Queue(QUEUED)
        watched.pages.add(page)
        if watched.seen:
            page.put_nowait(Update(watched.account, tuple(watched.recent), whole=True))
        if watched.task is None:
            watched.task = asyncio.create_task(self._look_out(user, watched))
        try:
            while (update := await page.get()) is not None:
                yield update
        finally:
            watched.pages.discard(page)
            if not watched.pages and watched.task is not None:
                watched.task.cancel()
                self._watched.pop(user, None)

    def nudge(self, user: str) -> None:
        """Something just happened to this player's money: look now."""
        if (watched := self._watched.get(user)) is not None:
            watched.wake.set()

    async def _look_out(self, user: str, watched: _Watched) -> None:
        while True:
            try:
                await self._look(user, watched)
            except StakewireError:
                if watched.account is not None or not watched.seen:
                    watched.account, watched.seen = None, True
                    watched.tell(Update(None))
            watched.wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await watched.wake.wait()

    async def _look(self, user: str, watched: _Watched) -> None:
        begins = watched.cursor is None
        fresh = await self._wallet.history(
            user, self._currency, after=watched.cursor, limit=SHOWN if begins else PAGE
        )
        if not fresh and watched.account is not None:
            return
        account = await self._wallet.account(user, self._currency)
        whole = watched.account is None
        if fresh:
            watched.cursor = fresh[-1].seq
            watched.recent.extend(fresh)
        watched.account, watched.seen = account, True
        watched.tell(Update(account, tuple(watched.recent) if whole else tuple(fresh), whole=whole))
