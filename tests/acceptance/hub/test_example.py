"""The example runs as it stands: rooms, streams both ways, two processes on one database."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.acceptance.hub.example import EXAMPLE, running_example
from tests.conftest import NewDatabase

from stakewire.client.signalr import HubConnection, HubError
from stakewire.net.signalr import HubOptions

DOCS = Path(__file__).parents[3] / "docs"
HOW_TO = DOCS / "how-to" / "build-a-hub.md"
REFERENCE = DOCS / "reference" / "hub.md"


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[str]:
    with running_example("0", folder=tmp_path) as address:
        yield address


async def words() -> AsyncIterator[str]:
    for word in ("one", "two", "three"):
        yield word


async def test_rooms_and_streams(chat: str) -> None:
    """Who is in the room hears it; numbers come down, words go up, an empty message is refused."""
    heard: list[tuple[str, str, str]] = []
    async with HubConnection(f"{chat}/chat?user=ann") as ann, HubConnection(f"{chat}/chat?user=bob") as bob:
        bob.on("Said", lambda *message: heard.append(message), types=(str, str, str))
        await bob.invoke("Join", "lobby")
        await ann.invoke("SendMessage", "lobby", "hello")
        assert await bob.invoke("Count", words(), result=int) == 3
        assert heard == [("lobby", "ann", "hello")]
        assert [number async for number in ann.stream("Countdown", 2, item=int)] == [2, 1, 0]
        with pytest.raises(HubError, match="Say something"):
            await ann.invoke("SendMessage", "lobby", " ")


async def test_two_processes_are_one_hub_with_a_database(new_database: NewDatabase, tmp_path: Path) -> None:
    """As the page says: give both the address of a migrated database."""
    database = new_database("hub")
    said: asyncio.Queue[str] = asyncio.Queue()
    with (
        running_example("0", database, folder=tmp_path) as one,
        running_example("0", database, folder=tmp_path) as other,
    ):
        async with (
            HubConnection(f"{one}/chat?user=ann") as ann,
            HubConnection(f"{other}/chat?user=bob") as bob,
        ):
            bob.on("Said", lambda room, who, text: said.put_nowait(text), types=(str, str, str))
            await bob.invoke("Join", "lobby")
            await ann.invoke("SendMessage", "lobby", "across")
            async with asyncio.timeout(20):
                assert await said.get() == "across"


def test_the_how_to_shows_the_example() -> None:
    """What a reader copies from the page is what these tests run."""
    text = HOW_TO.read_text()
    for name in ("chat.py", "index.html"):
        assert (EXAMPLE.parent / name).read_text().strip() in text, name


def test_the_reference_names_every_option() -> None:
    """With the default that the code has."""
    text = REFERENCE.read_text()
    for option in dataclasses.fields(HubOptions):
        assert f"| `{option.name}` |" in text, option.name
        if isinstance(option.default, float):
            assert f"| `{option.name}` | {option.default:g} |" in text, option.name
