"""Live movements: one look-out per watched player, however many pages watch it.

The look-out asks the wallet's history for what came after its cursor; it sees every movement once, in
posting order, whoever caused it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from stakewire.errors import StakewireError
from stakewire.sandbox.site_wallet import Account, Movement

SHOWN = 30  # movements that a page begins with
PAGE = 100  # movements of one look
ACCOUNT = "Account"  # what the hub says to a page, with an Update


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


class Pages(Protocol):
    """Some open pages: `hub.clients.user(...)` or `hub.clients.caller`."""

    async def send(self, target: str, *arguments: object) -> None: ...


@dataclass(slots=True)
class _Watched:
    """One player who is looked after now."""

    pages: Pages
    open: set[str] = field(default_factory=set)  # ids of the pages
    recent: deque[Movement] = field(default_factory=lambda: deque(maxlen=SHOWN))
    account: Account | None = None
    cursor: str | None = None
    seen: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Movements:
    """Follows players' accounts in one currency."""

    def __init__(self, wallet: WalletView, currency: str, *, poll: float) -> None:
        self._wallet = wallet
        self._currency = currency
        self._poll = poll
        self._watched: dict[str, _Watched] = {}

    async def join(self, user: str, page_id: str, page: Pages, pages: Pages) -> None:
        """One page more: tell it the account as it is, and all `pages` of the player every change."""
        watched = self._watched.setdefault(user, _Watched(pages))
        watched.open.add(page_id)
        if watched.task is None:
            watched.task = asyncio.create_task(self._look_out(user, watched))
        if watched.seen:
            await page.send(ACCOUNT, Update(watched.account, tuple(watched.recent), whole=True))

    def leave(self, user: str, page_id: str) -> None:
        """One page less; with the last one the look-out ends."""
        watched = self._watched[user]
        watched.open.discard(page_id)
        if not watched.open:
            assert watched.task is not None
            watched.task.cancel()
            del self._watched[user]

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
                    await watched.pages.send(ACCOUNT, Update(None))
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
        movements = tuple(watched.recent) if whole else tuple(fresh)
        await watched.pages.send(ACCOUNT, Update(account, movements, whole=whole))
