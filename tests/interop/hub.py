"""The hub that every stock client is tried on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey

from stakewire.clock import SystemClock
from stakewire.net.signalr import Hub, HubError, JwtAuthenticator

SECRET = OctKey.import_key("the secret of the interoperability tests")


def token_for(user: str, seconds: int = 60) -> str:
    """What whoever issues tokens would give this user."""
    expires = datetime.now(UTC) + timedelta(seconds=seconds)
    return jwt.encode({"alg": "HS256"}, {"sub": user, "exp": int(expires.timestamp()) + 1}, SECRET)


def authenticator() -> JwtAuthenticator:
    """Takes the tokens that `token_for` gives."""
    return JwtAuthenticator(SECRET, algorithms=["HS256"], clock=SystemClock())


class Diary:
    """What the hub remembers beyond one connection."""

    def __init__(self) -> None:
        self.farewells: dict[str, str] = {}
        self.ended_streams: set[str] = set()


class InteropHub(Hub):
    """Every kind of method that a hub can have."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    async def add(self, one: int, other: int) -> int:
        return one + other

    async def echo(self, value: Any) -> Any:
        return value

    async def nothing(self) -> None:
        """Gives no result."""

    async def fail(self) -> None:
        raise ValueError("the secret of this server")

    async def refuse(self, why: str) -> None:
        raise HubError(why)

    async def slow(self, milliseconds: int, value: str) -> str:
        await asyncio.sleep(milliseconds / 1000)
        return value

    async def who(self) -> str | None:
        return self.context.user_id

    async def my_connection_id(self) -> str:
        return self.context.connection_id

    async def count(self, count: int) -> AsyncIterator[int]:
        for each in range(count):
            yield each

    async def paced(self, count: int, milliseconds: int) -> AsyncIterator[int]:
        for each in range(count):
            await asyncio.sleep(milliseconds / 1000)
            yield each

    async def count_and_fail(self, count: int) -> AsyncIterator[int]:
        for each in range(count):
            yield each
        raise ValueError("the secret of this server")

    async def endless(self, name: str) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.01)
        finally:
            self._diary.ended_streams.add(name)

    async def has_ended(self, name: str) -> bool:
        return name in self._diary.ended_streams

    async def sum(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    async def collect(self, numbers: AsyncIterator[int]) -> None:
        self.context.items["collected"] = [number async for number in numbers]

    async def collected(self) -> list[int] | None:
        return self.context.items.get("collected")

    async def double(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    async def ask(self, question: str) -> str:
        caller = self.clients.client(self.context.connection_id)
        answer: str = await caller.invoke("Question", question, result=str, timeout=5)
        return answer

    async def ask_in_vain(self) -> str:
        try:
            return await self.ask("?")
        except Exception as error:
            return str(error)

    async def tell_caller(self, text: str) -> None:
        await self.clients.caller.send("Receive", text)

    async def tell_group(self, name: str, text: str) -> None:
        await self.clients.group(name).send("Receive", text)

    async def tell_user(self, user: str, text: str) -> None:
        await self.clients.user(user).send("Receive", text)

    async def close(self, allow_reconnect: bool) -> None:
        self.context.connection.close(allow_reconnect=allow_reconnect)

    async def join(self, name: str) -> None:
        await self.groups.add(self.context.connection_id, name)

    async def leave(self, name: str) -> None:
        await self.groups.remove(self.context.connection_id, name)

    async def name_me(self, name: str) -> None:
        self.context.items["name"] = name

    async def farewell(self, name: str) -> str | None:
        return self._diary.farewells.get(name)

    async def on_disconnected(self, error: str | None) -> None:
        if name := self.context.items.get("name"):
            self._diary.farewells[name] = "no error" if error is None else error
