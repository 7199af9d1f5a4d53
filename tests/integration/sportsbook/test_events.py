"""Events reach the pages they are for, and a page that does not read costs a bounded amount."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.sportsbook.conftest import NewSportsbook, World

from stakewire.betting.markets import Score
from stakewire.errors import Unavailable
from stakewire.money import Currencies
from stakewire.sportsbook.settlement import Settler


async def opened(world: World, user: str = "alice") -> AsyncIterator[bytes]:
    """A player's stream, begun."""
    stream = world.book.events.open(await world.session(user))
    assert await anext(stream) == b": open\n\n"
    return stream


def parsed(raw: bytes) -> list[tuple[str, Any]]:
    """The events in some bytes of a stream."""
    found = []
    for block in raw.decode().strip().split("\n\n"):
        name, _, data = block.partition("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def test_a_bet_settled_by_another_process_reaches_its_player_alone(
    world: World, new_sportsbook: NewSportsbook
) -> None:
    """The look at the database finds what this process did not do; bob hears nothing of alice's bet."""
    other = await new_sportsbook()
    match = await world.match()
    bet = await world.bet(await world.session("alice"), match)
    alice, bob = await opened(world, "alice"), await opened(world, "bob")
    await world.book.events.look()
    names = [name for name, _ in parsed(await anext(alice))]
    assert names == ["matches", "bet"]
    assert [name for name, _ in parsed(await anext(bob))] == ["matches"]

    world.clock.advance(1)
    await other.book.rulings.result(match, Score(2, 0))
    await Settler(other.book.pool, ids=other.ids, currencies=Currencies.default(), clock=world.clock).settle(
        match
    )
    await world.book.events.look()
    events = parsed(await anext(alice))
    assert [name for name, _ in events] == ["matches", "bet"]
    assert (events[1][1]["bet"]["id"], events[1][1]["bet"]["state"]) == (str(bet.id), "won")
    assert [name for name, _ in parsed(await anext(bob))] == ["matches"]


async def test_what_was_told_is_not_told_again(world: World) -> None:
    """A look that finds nothing new sends nothing, though it looks at the last seconds again."""
    match = await world.match()
    stream = await opened(world)
    await world.bet(await world.session(), match)
    await world.book.events.look()
    first = [name for name, _ in parsed(await anext(stream))]
    assert first == ["bet", "matches"]
    await world.book.events.look()
    await world.book.pool.execute("UPDATE outcome SET odds = 5 WHERE name = 'X'")
    await world.book.events.look()
    assert [name for name, _ in parsed(await anext(stream))] == ["matches"]


async def test_a_page_that_does_not_read_is_cut(world: World) -> None:
    """More events than are kept for it end its stream; it comes back and reads everything whole."""
    match = await world.match()
    stream = await opened(world)
    bet = await world.bet(await world.session(), match)
    for _ in range(1_000):
        world.book.events.bet_changed(bet)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert world.book.events.open_streams == 0


async def test_streams_are_counted_and_bounded(new_sportsbook: NewSportsbook) -> None:
    """One more than there may be is told to come back; a closed one makes room."""
    world = await new_sportsbook(max_event_streams=2)
    await world.client()
    first, _second = await opened(world), await opened(world)
    with pytest.raises(Unavailable):
        world.book.events.open(await world.session())
    await first.aclose()  # type: ignore[attr-defined]  # it is a generator
    await opened(world)


async def test_a_stream_ends_with_its_session(world: World) -> None:
    """After twelve hours nothing more is told."""
    stream = await opened(world)
    match = await world.match()
    bet = await world.bet(await world.session(), match)
    await anext(stream)
    world.clock.advance(12 * 3600)
    world.book.events.bet_changed(bet)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
