"""What open pages are told reaches those it is for, and begins with all there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest
from tests.hub_page import HubPage, hub_page
from tests.integration.sportsbook.conftest import NewSportsbook, World

from stakewire.betting.markets import Score
from stakewire.clock import SystemClock
from stakewire.money import Currencies
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.sockets import bind
from stakewire.sportsbook.http.hub import PATH
from stakewire.sportsbook.settlement import Settler

OpenPage = Callable[..., Awaitable[AbstractAsyncContextManager[HubPage]]]


@pytest.fixture
async def open_page(world: World) -> AsyncIterator[OpenPage]:
    """Opens a player's page at the world's hub."""
    server = HttpServer(
        app=lambda scope, receive, send: asyncio.sleep(0),
        find_hot=lambda method, path: None,
        find_direct=world.book.hub.find_direct,
        limits=HttpLimits(),
        trusted_proxies=(),
        clock=SystemClock(),
    )
    [sock] = bind("127.0.0.1", 0, 1)
    await server.start(sock)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}{PATH}"
    async with aiohttp.ClientSession() as http:

        async def opened(user: str = "alice", currency: str = "EUR") -> AbstractAsyncContextManager[HubPage]:
            found = world.book.directory.find("acme")
            assert found is not None
            access = world.book.access
            launch = await access.start_session(found, user_id=user, currency=currency, lang=None)
            token, _ = await access.launch(launch)
            return hub_page(http, url, headers={"authorization": f"Bearer {token}"})

        async with world.book.hub:
            yield opened
    await server.stop(1)


async def begun(page: HubPage) -> list[dict[str, Any]]:
    """The bets that a page begins with; after them comes the board."""
    target, bets = await page.next()
    assert target == "Bets"
    assert (await page.next())[0] == "Board"
    return list(bets)


async def test_a_page_begins_with_all_there_is(world: World, open_page: OpenPage) -> None:
    """The player's own bets, newest first, and the board as the page's API gives it."""
    match = await world.match()
    first = await world.bet(await world.session(), match)
    second = await world.bet(await world.session(), match, "X")
    async with await open_page() as page:
        target, bets = await page.next()
        assert (target, [bet["id"] for bet in bets]) == ("Bets", [str(second.id), str(first.id)])
        assert await page.next() == ("Board", await world.book.board.matches())


async def test_a_bet_settled_by_another_process_reaches_its_player_alone(
    world: World, new_sportsbook: NewSportsbook, open_page: OpenPage
) -> None:
    """The look at the database finds what this process did not do; bob hears nothing of alice's bet."""
    other = await new_sportsbook()
    match = await world.match()
    bet = await world.bet(await world.session("alice"), match)
    async with await open_page("alice") as alice, await open_page("bob") as bob:
        assert [each["id"] for each in await begun(alice)] == [str(bet.id)]
        assert await begun(bob) == []
        world.clock.advance(1)
        await other.book.rulings.result(match, Score(2, 0))
        await Settler(
            other.book.pool, ids=other.ids, currencies=Currencies.default(), clock=world.clock
        ).settle(match)
        await world.book.events.look()
        assert (await alice.until("Bet"))["state"] == "won"
        await world.book.pool.execute("UPDATE outcome SET odds = 5 WHERE name = 'X'")
        await world.book.events.look()
        said = [await bob.next() for _ in range(2)]
        assert [target for target, _ in said] == ["Board", "Board"]


async def test_a_bet_in_another_currency_is_on_no_page_of_this_one(world: World, open_page: OpenPage) -> None:
    """A page has one currency; the same player's euro page hears nothing of dollars."""
    match = await world.match()
    await world.clients.set("acme", currencies=["EUR", "USD"])
    await world.book.directory.reload()
    async with await open_page("alice", "EUR") as euros, await open_page("alice", "USD") as dollars:
        await begun(euros)
        await begun(dollars)
        await world.bet(await world.session(currency="USD"), match)
        euro_bet = await world.bet(await world.session(currency="EUR"), match, "X")
        assert (await dollars.until("Bet"))["currency"] == "USD"
        assert (await euros.until("Bet"))["id"] == str(euro_bet.id)


async def test_what_was_told_is_not_told_again(world: World, open_page: OpenPage) -> None:
    """A look that finds nothing new sends nothing, though it looks at the last seconds again."""
    match = await world.match()
    async with await open_page() as page:
        await begun(page)
        await world.bet(await world.session(), match)
        await world.book.events.look()
        await world.book.events.look()
        await world.book.pool.execute("UPDATE outcome SET odds = 5 WHERE name = 'X'")
        await world.book.events.look()
        assert (await page.next())[0] == "Bet"
        assert (await page.next())[0] == "Board"


async def test_a_bet_that_changes_while_a_page_begins_is_read_again(
    world: World, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is told of the change before it gets its bets, which must not be older than that."""
    match = await world.match()
    read = world.book.bets.of_player
    reads = 0

    async def read_slowly(session: Any, *, limit: int = 50) -> Any:
        nonlocal reads
        reads += 1
        before = await read(session, limit=limit)
        if reads == 1:
            await world.bet(await world.session(), match)
        return before

    monkeypatch.setattr(world.book.bets, "of_player", read_slowly)
    async with await open_page() as page:
        assert (await page.next())[0] == "Bet"
        assert len(await begun(page)) == 1


async def test_pages_are_counted_until_they_leave(world: World, open_page: OpenPage) -> None:
    """The gauge of open pages; without any, the database is left alone."""
    async with await open_page() as first, await open_page("bob") as second:
        await begun(first)
        await begun(second)
        assert world.book.events.open_pages == 2
    while world.book.events.open_pages:
        await asyncio.sleep(0.001)


async def test_a_page_ends_with_its_session(world: World, open_page: OpenPage) -> None:
    """After twelve hours its connection is ended, and it has to ask whether its session goes on."""
    async with await open_page() as page:
        await begun(page)
        world.clock.advance(12 * 3600)
        assert (await page.close_message())["allowReconnect"]
