"""The platform's client against a sportsbook that answers by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from stakewire import client as sdk
from stakewire.client import SportsbookClient, SportsbookClientSync
from stakewire.errors import StakewireError
from stakewire.testing import ManualClock

Reply = tuple[int, Any]
TOKEN: Reply = (200, {"token": "t-1", "expires_in": 600})
URL: Reply = (200, {"url": "https://bets.example/launch?token=x"})


@dataclass
class Sportsbook:
    """Answers each path with its next reply, the last one for ever, and remembers what it was asked."""

    base: str = ""
    replies: dict[str, list[Reply]] = field(default_factory=lambda: {"auth": [TOKEN], "start-session": [URL]})
    asked: list[tuple[str, Any, str | None]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.asked.append((path, await request.json(), request.headers.get("Authorization")))
        replies = self.replies[path]
        status, content = replies.pop(0) if len(replies) > 1 else replies[0]
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
            raise asyncio.CancelledError
        headers = {"Retry-After": "7"} if status == 429 else {}
        if isinstance(content, bytes):
            return web.Response(status=status, body=content, headers=headers)
        return web.json_response(content, status=status, headers=headers)

    def count(self, path: str) -> int:
        return sum(asked[0] == path for asked in self.asked)


@pytest.fixture
async def sportsbook() -> AsyncIterator[Sportsbook]:
    book = Sportsbook()
    app = web.Application()
    app.router.add_post("/v1/{path}", book.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    book.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield book
    await runner.cleanup()


def error(code: str) -> dict[str, str]:
    return {"error": code, "message": f"because of {code}"}


async def test_a_session_is_started_with_a_token_got_once(sportsbook: Sportsbook) -> None:
    """Many sessions at once share one auth; each call carries the token and the player."""
    async with SportsbookClient(sportsbook.base + "/", "acme", "pw") as client:
        urls = await asyncio.gather(*(client.start_session(f"u{n}", "EUR", lang="ar") for n in range(5)))
    assert set(urls) == {URL[1]["url"]}
    assert sportsbook.count("auth") == 1
    assert sportsbook.asked[0] == ("auth", {"username": "acme", "password": "pw"}, None)
    assert (
        "start-session",
        {"user_id": "u0", "currency": "EUR", "lang": "ar"},
        "Bearer t-1",
    ) in sportsbook.asked


async def test_a_token_is_renewed_before_it_ends(sportsbook: Sportsbook) -> None:
    """Of ten minutes, nine are used; then a new one is got."""
    clock = ManualClock()
    async with SportsbookClient(sportsbook.base, "acme", "pw", clock=clock) as client:
        for seconds, auths in ((0, 1), (539, 1), (1, 2)):
            clock.advance(seconds)
            await client.start_session("u", "EUR")
            assert sportsbook.count("auth") == auths


async def test_a_token_that_was_revoked_is_replaced_once(sportsbook: Sportsbook) -> None:
    """A 401 in the middle costs one auth and one more try, never a loop."""
    sportsbook.replies["start-session"] = [(401, error("INVALID_TOKEN")), URL]
    sportsbook.replies["auth"] = [TOKEN, (200, {"token": "t-2", "expires_in": 600})]
    async with SportsbookClient(sportsbook.base, "acme", "pw") as client:
        await client.start_session("u", "EUR")
        assert sportsbook.asked[-1][2] == "Bearer t-2"
        sportsbook.replies["start-session"] = [(401, error("INVALID_TOKEN"))]
        with pytest.raises(sdk.BadAnswer):
            await client.start_session("u", "EUR")
    assert sportsbook.count("auth") == 3


@pytest.mark.parametrize("fault", [(0, None), (503, error("UNAVAILABLE")), (500, b"<html>")])
async def test_lost_connections_and_5xx_are_tried_again(sportsbook: Sportsbook, fault: Reply) -> None:
    """Twice in vain, then an answer: the caller sees the answer."""
    sportsbook.replies["start-session"] = [fault, fault, URL]
    async with SportsbookClient(sportsbook.base, "acme", "pw") as client:
        assert await client.start_session("u", "EUR") == URL[1]["url"]
    assert sportsbook.count("start-session") == 3


async def test_a_sportsbook_that_stays_away_is_named_after_three_attempts(sportsbook: Sportsbook) -> None:
    """No endless retries: the caller decides what the player sees."""
    sportsbook.replies["start-session"] = [(503, error("UNAVAILABLE"))]
    async with SportsbookClient(sportsbook.base, "acme", "pw") as client:
        with pytest.raises(sdk.SportsbookAway, match="3 attempts"):
            await client.start_session("u", "EUR")
    assert sportsbook.count("start-session") == 3


@pytest.mark.parametrize(
    ("path", "reply", "kind", "code"),
    [
        ("auth", (401, error("INVALID_CREDENTIALS")), sdk.InvalidCredentials, "INVALID_CREDENTIALS"),
        ("auth", (403, error("FORBIDDEN")), sdk.NotAllowed, "FORBIDDEN"),
        ("start-session", (400, error("INVALID_REQUEST")), sdk.RequestRefused, "INVALID_REQUEST"),
        ("start-session", (403, error("CURRENCY_NOT_ALLOWED")), sdk.NotAllowed, "CURRENCY_NOT_ALLOWED"),
        ("start-session", (200, {"uri": "x"}), sdk.BadAnswer, "BAD_ANSWER"),
        ("start-session", (200, b"not json"), sdk.BadAnswer, "BAD_ANSWER"),
        ("start-session", (200, b"x" * 70_000), sdk.BadAnswer, "BAD_ANSWER"),
        ("start-session", (302, b""), sdk.BadAnswer, "BAD_ANSWER"),
        ("auth", (200, {"token": "t", "expires_in": 0}), sdk.BadAnswer, "BAD_ANSWER"),
    ],
)
async def test_every_failure_has_a_type_and_is_not_repeated(
    sportsbook: Sportsbook, path: str, reply: Reply, kind: type[StakewireError], code: str
) -> None:
    """What will not get better by repeating is said at once."""
    sportsbook.replies[path] = [reply]
    async with SportsbookClient(sportsbook.base, "acme", "pw") as client:
        with pytest.raises(kind) as raised:
            await client.start_session("u", "EUR")
    assert raised.value.code == code
    assert sportsbook.count(path) == 1


async def test_a_429_says_how_long_to_wait(sportsbook: Sportsbook) -> None:
    """The client does not wait by itself: a player stands in front of the page."""
    sportsbook.replies["start-session"] = [(429, error("TOO_MANY_REQUESTS"))]
    async with SportsbookClient(sportsbook.base, "acme", "pw") as client:
        with pytest.raises(sdk.TooManyRequests) as raised:
            await client.start_session("u", "EUR")
    assert raised.value.retry_after == 7


async def test_the_sync_face_does_the_same_from_any_thread(sportsbook: Sportsbook) -> None:
    """Blocking calls of several threads share one client; closed, it says so."""

    def use() -> list[str]:
        with SportsbookClientSync(sportsbook.base, "acme", "pw") as client:
            urls = [client.start_session("u", "EUR"), client.start_session("v", "EUR")]
        with pytest.raises(RuntimeError, match="closed"):
            client.authenticate()
        client.close()
        return urls

    both = await asyncio.gather(asyncio.to_thread(use), asyncio.to_thread(use))
    assert list(both) == [[URL[1]["url"]] * 2] * 2


def test_a_client_never_shows_its_password() -> None:
    """Not even in a debugger's listing."""
    assert "pw-secret" not in repr(SportsbookClient("http://x", "acme", "pw-secret"))
