"""Many callbacks at once: a bounded number of connections, each used by one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from tests.acceptance.wallet.service import ADMIN_TOKEN, SECRET, endpoint_of, signed

T = TypeVar("T")


@dataclass(frozen=True)
class Crowd:
    """Sends from `connections` keep-alive connections."""

    url: str
    http: aiohttp.ClientSession

    async def callback(self, operator: str, raw: bytes, secret: str = SECRET) -> dict[str, Any]:
        """One signed callback; the answer's document."""
        path = f"{self.url}/callbacks/{operator}/{endpoint_of(raw)}"
        async with self.http.post(path, data=raw, headers=signed(raw, secret)) as answer:
            assert answer.status == 200, await answer.text()
            document: dict[str, Any] = await answer.json()
            return document

    async def admin(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> dict[str, Any]:
        """One successful call of the admin API."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"} | ({"Idempotency-Key": key} if key else {})
        url = f"{self.url}/admin/v1{path}"
        async with self.http.request(method, url, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            document: dict[str, Any] = await answer.json()
            return document

    async def open(self, users: Iterable[str], deposit: str) -> None:
        """Make players with money in EUR."""
        await together(
            self.admin(
                "POST", "/players", {"user_id": user, "currency": "EUR", "deposit": deposit}, f"open-{user}"
            )
            for user in users
        )

    async def balances(self, users: Iterable[str]) -> dict[str, str]:
        """EUR balances by player."""
        shown = await together(self.admin("GET", f"/players/{user}") for user in users)
        return {player["user_id"]: player["accounts"][0]["balance"] for player in shown}


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """All at once, results in order."""
    return list(await asyncio.gather(*work))


def run(url: str, connections: int, play: Callable[[Crowd], Awaitable[T]]) -> T:
    """Run `play` with a crowd on a loop of its own."""

    async def main() -> T:
        connector = aiohttp.TCPConnector(limit=connections)
        async with aiohttp.ClientSession(connector=connector) as http:
            return await play(Crowd(url, http))

    return asyncio.run(main())
