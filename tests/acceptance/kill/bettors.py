"""Players with browsers: they bet on the sportsbook's page, and ask for a slip until they have its answer."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from tests.acceptance.kill.installation import Installation

RETRY_SECONDS = 0.1
PAUSE_SECONDS = 0.2  # players think: leaves the processors to those who die


@dataclass
class Slips:
    """What the page told the players: the state of every bet that was answered, by bet id."""

    told: dict[str, str] = field(default_factory=dict)
    placed: dict[str, int] = field(default_factory=dict)


class Bettor:
    """One player's browser."""

    def __init__(
        self, http: aiohttp.ClientSession, player: str, session: str, origin: str, slips: Slips
    ) -> None:
        self._http = http
        self._player = player
        self._headers = {"Authorization": f"Bearer {session}", "Origin": origin}
        self._slips = slips

    @classmethod
    async def enter(
        cls, http: aiohttp.ClientSession, installed: Installation, player: str, slips: Slips
    ) -> Bettor:
        """Start a session as the platform would, and open its address as the browser would."""
        credentials = {"username": installed.client["username"], "password": installed.client["password"]}
        token = (await _json(http, "POST", f"{installed.sportsbook_url}/v1/auth", json=credentials))["token"]
        asked = {"user_id": player, "currency": "EUR"}
        started = await _json(
            http, "POST", f"{installed.sportsbook_url}/v1/start-session", json=asked,
            headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
        async with http.get(started["url"], allow_redirects=False) as answer:
            session = answer.headers["Location"].partition("#s=")[2]
        return cls(http, player, session, installed.sportsbook_url, slips)

    async def bet_until(
        self, stop: asyncio.Event, url: str, matches: Collection[str], rng: random.Random
    ) -> None:
        """Bet on whichever of the matches are open; a lost answer is asked for again, never guessed."""
        while not stop.is_set():
            listed = await self._ask("GET", f"{url}/v1/page/matches")
            open_matches = [
                match
                for match in listed["matches"]
                if match["id"] in matches and match["state"] == "scheduled"
            ]
            if not open_matches:
                return
            outcome = rng.choice(rng.choice(rng.choice(open_matches)["markets"])["outcomes"])
            slip = {
                "slip_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                "outcome_id": outcome["id"],
                "odds": outcome["odds"],
                "stake": f"{rng.randint(1, 9)}.{rng.randint(0, 99):02d}",
            }
            answer = await self._ask("POST", f"{url}/v1/page/bets", slip)
            await asyncio.sleep(rng.random() * PAUSE_SECONDS)
            if "bet" in answer:  # else the match has kicked off or was settled in between
                bet = answer["bet"]
                self._slips.told[str(bet["id"])] = bet["state"]
                self._slips.placed[self._player] = self._slips.placed.get(self._player, 0) + 1

    async def _ask(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The page's document, asked for until the sportsbook is there to give it."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                async with self._http.request(method, url, json=body, headers=self._headers) as answer:
                    if answer.status < 500:
                        document: dict[str, Any] = await answer.json()
                        return document
            await asyncio.sleep(RETRY_SECONDS)


async def _json(http: aiohttp.ClientSession, method: str, url: str, **options: Any) -> dict[str, Any]:
    async with http.request(method, url, **options) as answer:
        assert answer.status == 200, f"{url}: {answer.status} {await answer.text()}"
        document: dict[str, Any] = await answer.json()
        return document
