"""Live movements: what the pages of a player are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

import pytest

from stakewire.errors import Unavailable
from stakewire.sandbox.site_movements import QUEUED, SHOWN, Movements, Update
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


def watch(wallet: WalletInMemory, *, max_streams: int = 10) -> Movements:
    return Movements(wallet, "EUR", poll=0.001, max_streams=max_streams)


async def soon(updates: AsyncGenerator[Update, None]) -> Update:
    return await asyncio.wait_for(anext(updates), 5)


def seqs(update: Update) -> list[int]:
    return [int(each.seq) for each in update.movements]


async def test_a_page_begins_with_the_latest_and_then_sees_each_movement_once() -> None:
    """First the whole, bounded; then what is new, in order, nothing twice and nothing left out."""
    wallet = WalletInMemory()
    wallet.move("alice", SHOWN + 5)
    async with aclosing(watch(wallet).follow("alice")) as page:
        first = await soon(page)
        assert first.whole
        assert seqs(first) == list(range(6, SHOWN + 6))
        seen = [SHOWN + 5]
        for burst in (1, 3, 150, 1):
            wallet.move("alice", burst)
            while seen[-1] < len(wallet.entries["alice"]):
                update = await soon(page)
                assert not update.whole
                seen += seqs(update)
        assert all(later == earlier + 1 for earlier, later in pairwise(seen))


async def test_a_player_without_movements_gets_a_balance_at_once() -> None:
    """An empty history is an answer, and the first movement after it arrives."""
    wallet = WalletInMemory()
    async with aclosing(watch(wallet).follow("alice")) as page:
        assert await soon(page) == Update(Account("0.00", "active"), (), whole=True)
        wallet.move("alice")
        assert seqs(await soon(page)) == [1]


async def test_players_see_their_own_movements_only() -> None:
    """Another player's money never shows up on a page."""
    wallet = WalletInMemory()
    wallet.move("bob", 3)
    async with aclosing(watch(wallet).follow("alice")) as page:
        await soon(page)
        wallet.move("bob")
        wallet.move("alice")
        update = await soon(page)
        assert update.account == Account("1.00", "active")
        assert seqs(update) == [1]


async def test_two_pages_of_a_player_share_one_look_out_and_see_the_same() -> None:
    """The second page costs the wallet nothing and begins with the whole."""
    wallet = WalletInMemory()
    wallet.move("alice", 2)
    movements = watch(wallet)
    async with aclosing(movements.follow("alice")) as one, aclosing(movements.follow("alice")) as two:
        assert seqs(await soon(one)) == [1, 2]
        assert seqs(await soon(two)) == [1, 2]
        wallet.move("alice")
        assert seqs(await soon(one)) == seqs(await soon(two)) == [3]


async def test_a_wallet_that_is_away_is_said_once_and_its_return_brings_everything() -> None:
    """No page goes blank, and what moved meanwhile is there afterwards."""
    wallet = WalletInMemory()
    wallet.move("alice")
    async with aclosing(watch(wallet).follow("alice")) as page:
        await soon(page)
        wallet.away = True
        assert await soon(page) == Update(None)
        wallet.move("alice", 2)
        looks = wallet.looks
        while wallet.looks < looks + 5:
            await asyncio.sleep(0)
        wallet.away = False
        back = await soon(page)
        assert back.whole
        assert seqs(back) == [1, 2, 3]


async def test_the_look_out_ends_with_the_last_page() -> None:
    """Nobody watches, nobody asks."""
    wallet = WalletInMemory()
    async with aclosing(watch(wallet).follow("alice")) as page:
        await soon(page)
    await asyncio.sleep(0)
    looks = wallet.looks
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert wallet.looks == looks


async def test_pages_are_bounded() -> None:
    """One page too many is refused; a closed page makes room."""
    movements = watch(WalletInMemory(), max_streams=1)
    async with aclosing(movements.follow("alice")) as page:
        await soon(page)
        with pytest.raises(Unavailable):
            await soon(movements.follow("bob"))
    async with aclosing(movements.follow("bob")) as page:
        assert (await soon(page)).whole


async def test_a_page_that_lags_is_ended_so_that_it_begins_anew() -> None:
    """A slow reader neither grows our memory nor misses movements silently."""
    wallet = WalletInMemory()
    movements = watch(wallet)
    async with aclosing(movements.follow("slow")) as slow, aclosing(movements.follow("slow")) as fast:
        await soon(slow)
        await soon(fast)
        for _ in range(QUEUED + 2):
            wallet.move("slow")
            await soon(fast)
        got = 0
        with pytest.raises(StopAsyncIteration):
            while True:
                await soon(slow)
                got += 1
        assert got < QUEUED + 2
