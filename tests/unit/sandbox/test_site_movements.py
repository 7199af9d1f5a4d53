"""Live movements: what the pages of a player are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

from stakewire.errors import Unavailable
from stakewire.sandbox.site_movements import SHOWN, Movements, Update
from stakewire.sandbox.site_wallet import Account, Movement


class WalletInMemory:
    """A wallet with one history per player, that can be away."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Movement]] = {}
        self.away = False
        self.looks = 0

    def move(self, user: str, count: int = 1) -> None:
        entries = self.entries.setdefault(user, [])
        for _ in range(count):
            entries.append(movement(len(entries) + 1))

    async def account(self, user: str, currency: str) -> Account:
        return Account(balance=f"{len(self.entries.get(user, []))}.00", status="active")

    async def history(self, user: str, currency: str, *, after: str | None, limit: int) -> list[Movement]:
        await asyncio.sleep(0)
        self.looks += 1
        if self.away:
            raise Unavailable("away")
        entries = self.entries.get(user, [])
        return entries[-limit:] if after is None else entries[int(after) :][:limit]


def movement(seq: int) -> Movement:
    return Movement(
        seq=str(seq),
        id=f"w{seq}",
        operator="demo",
        transaction_id=f"t{seq}",
        kind="deposit",
        amount="1.00",
        delta="1.00",
        balance_after=f"{seq}.00",
        currency="EUR",
        error=None,
        at="2030-01-01T00:00:00Z",
    )


def watch(wallet: WalletInMemory) -> Movements:
    return Movements(wallet, "EUR", poll=0.001)


class Page:
    """What one page was told; all pages of a player, too, where only one is open."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[Update] = asyncio.Queue()

    async def send(self, target: str, *arguments: object) -> None:
        [update] = arguments
        assert target == "Account"
        assert isinstance(update, Update)
        self._told.put_nowait(update)

    async def next(self) -> Update:
        return await asyncio.wait_for(self._told.get(), 5)


@asynccontextmanager
async def opened(movements: Movements, user: str) -> AsyncIterator[Page]:
    """The only page of a player."""
    page = Page()
    await movements.join(user, "page", page, page)
    yield page
    movements.leave(user, "page")


def seqs(update: Update) -> list[int]:
    return [int(each.seq) for each in update.movements]


async def test_a_page_begins_with_the_latest_and_then_sees_each_movement_once() -> None:
    """First the whole, bounded; then what is new, in order, nothing twice and nothing left out."""
    wallet = WalletInMemory()
    wallet.move("alice", SHOWN + 5)
    async with opened(watch(wallet), "alice") as page:
        first = await page.next()
        assert first.whole
        assert seqs(first) == list(range(6, SHOWN + 6))
        seen = [SHOWN + 5]
        for burst in (1, 3, 150, 1):
            wallet.move("alice", burst)
            while seen[-1] < len(wallet.entries["alice"]):
                update = await page.next()
                assert not update.whole
                seen += seqs(update)
        assert all(later == earlier + 1 for earlier, later in pairwise(seen))


async def test_a_player_without_movements_gets_a_balance_at_once() -> None:
    """An empty history is an answer, and the first movement after it arrives."""
    wallet = WalletInMemory()
    async with opened(watch(wallet), "alice") as page:
        assert await page.next() == Update(Account("0.00", "active"), (), whole=True)
        wallet.move("alice")
        assert seqs(await page.next()) == [1]


async def test_players_see_their_own_movements_only() -> None:
    """Another player's money never shows up on a page."""
    wallet = WalletInMemory()
    wallet.move("bob", 3)
    async with opened(watch(wallet), "alice") as page:
        await page.next()
        wallet.move("bob")
        wallet.move("alice")
        update = await page.next()
        assert update.account == Account("1.00", "active")
        assert seqs(update) == [1]


async def test_a_second_page_begins_with_the_whole_and_costs_the_wallet_nothing() -> None:
    """It alone is told what the first one knows; what comes then is told to all pages at once."""
    wallet = WalletInMemory()
    wallet.move("alice", 2)
    movements, every, second = watch(wallet), Page(), Page()
    await movements.join("alice", "first", every, every)
    assert seqs(await every.next()) == [1, 2]
    looks = wallet.looks
    await movements.join("alice", "second", second, every)
    assert seqs(await second.next()) == [1, 2]
    assert wallet.looks == looks
    wallet.move("alice")
    assert seqs(await every.next()) == [3]
    movements.leave("alice", "first")
    wallet.move("alice")
    assert seqs(await every.next()) == [4]
    movements.leave("alice", "second")


async def test_a_wallet_that_is_away_is_said_once_and_its_return_brings_everything() -> None:
    """No page goes blank, and what moved meanwhile is there afterwards."""
    wallet = WalletInMemory()
    wallet.move("alice")
    async with opened(watch(wallet), "alice") as page:
        await page.next()
        wallet.away = True
        assert await page.next() == Update(None)
        wallet.move("alice", 2)
        looks = wallet.looks
        while wallet.looks < looks + 5:
            await asyncio.sleep(0)
        wallet.away = False
        back = await page.next()
        assert back.whole
        assert seqs(back) == [1, 2, 3]


async def test_the_look_out_ends_with_the_last_page() -> None:
    """Nobody watches, nobody asks."""
    wallet = WalletInMemory()
    async with opened(watch(wallet), "alice") as page:
        await page.next()
    await asyncio.sleep(0)
    looks = wallet.looks
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert wallet.looks == looks
