"""The demo site's API over HTTP: who may do what, from where, and how often."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.hub_page import HubPage, hub_page

from stakewire.clock import SystemClock
from stakewire.errors import ConfigError, StakewireError, Unavailable
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.sockets import bind
from stakewire.sandbox.site import Site, build_app
from stakewire.sandbox.site_config import SiteConfig
from stakewire.sandbox.site_hub import PATH, account_hub
from stakewire.sandbox.site_login import LIFETIME, Logins
from stakewire.sandbox.site_movements import Movements
from stakewire.sandbox.site_pages import Pages
from stakewire.sandbox.site_wallet import Account, Movement
from stakewire.testing.clock import ManualClock

KEY = "0f0e0d0c-0b0a-4908-8706-050403020100"


class WalletInMemory:
    """Remembers deposits by key, as the wallet does."""

    def __init__(self) -> None:
        self.deposits: dict[str, tuple[str, str, str]] = {}

    async def account(self, user: str, currency: str) -> Account:
        return Account(f"{100 + 50 * len(self.deposits)}.00", "active")

    async def history(self, user: str, currency: str, *, after: str | None, limit: int) -> list[Movement]:
        return []

    async def deposit(self, user: str, amount: str, currency: str, *, key: str) -> None:
        self.deposits.setdefault(key, (user, amount, currency))

    async def ready(self) -> None:
        return None


@dataclass
class SportsbookInMemory:
    """Gives addresses, or fails."""

    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    failure: StakewireError | None = None

    async def start_session(self, user_id: str, currency: str, *, lang: str | None = None) -> str:
        self.asked.append((user_id, currency, lang))
        if self.failure is not None:
            raise self.failure
        return "http://127.0.0.1:8081/launch?token=once"


@dataclass
class Running:
    """A site that answers, and a browser's worth of cookies."""

    url: str
    wallet: WalletInMemory
    sportsbook: SportsbookInMemory
    clock: ManualClock
    http: aiohttp.ClientSession

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(
            self.url + path, json=body if body is not None else {}, headers=sent
        ) as answer:
            return answer.status, await answer.json()

    def page(self, headers: Mapping[str, str]) -> AbstractAsyncContextManager[HubPage]:
        """An open page of this browser at the hub."""
        return hub_page(self.http, self.url + PATH, headers=headers)

    async def refusal(self, headers: Mapping[str, str]) -> int:
        """The status with which the hub refuses a page."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with self.page(headers):
                pass
        return refused.value.status

    async def log_in(self, user: str = "alice", password: str = "play-money") -> tuple[int, Any]:
        return await self.post("/api/login", {"username": user, "password": password})


def config(**changes: Any) -> SiteConfig:
    settings: dict[str, Any] = {
        "sportsbook_url": "http://127.0.0.1:8081",
        "sportsbook_username": "demo-casino",
        "sportsbook_password": "secret",
        "wallet_url": "http://127.0.0.1:8082",
        "wallet_admin_token": "t" * 32,
        "players": {"alice": "play-money", "bob": "other-money"},
        "session_secret": "s" * 32,
    }
    return SiteConfig(**(settings | changes))


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>the site")
    (tmp_path / "assets" / "index-abc.js").write_text("1")
    (tmp_path.parent / "secret.txt").write_text("secret")
    return Pages(tmp_path)


@pytest.fixture
async def site(pages: Pages) -> AsyncIterator[Running]:
    clock = ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    wallet, sportsbook = WalletInMemory(), SportsbookInMemory()
    movements = Movements(wallet, "EUR", poll=0.01)
    logins = Logins(config().players, config().session_secret, clock)
    handlers = Site(
        config(), wallet=wallet, sportsbook=sportsbook, movements=movements, logins=logins, clock=clock
    )
    hub = account_hub(movements, logins, max_pages=2, clock=clock)
    server = HttpServer(
        app=build_app(config(), handlers, wallet, pages, clock),
        find_hot=lambda method, path: None,
        find_direct=hub.find_direct,
        limits=HttpLimits(),
        trusted_proxies=(),
        clock=SystemClock(),
    )
    [sock] = bind("127.0.0.1", 0, 1)
    await server.start(sock)
    jar = aiohttp.CookieJar(unsafe=True)
    async with hub, aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Running(f"http://127.0.0.1:{sock.getsockname()[1]}", wallet, sportsbook, clock, http)
    await server.stop(1)


async def test_a_log_in_lasts_until_log_out(site: Running) -> None:
    """Nobody, then alice, then nobody; the cookie is for this site's own requests and no script's to read."""
    async with site.http.get(site.url + "/api/me") as answer:
        assert await answer.json() == {"player": None}
    status, body = await site.log_in()
    assert (status, body["player"]["name"], body["player"]["exponent"]) == (200, "alice", 2)
    [cookie] = list(site.http.cookie_jar)
    assert cookie["httponly"]
    assert cookie["samesite"] == "strict"
    async with site.http.get(site.url + "/api/me") as answer:
        assert (await answer.json())["player"]["name"] == "alice"
    assert (await site.post("/api/logout"))[0] == 200
    async with site.http.get(site.url + "/api/me") as answer:
        assert await answer.json() == {"player": None}


async def test_wrong_passwords_are_limited_per_address(site: Running) -> None:
    """After ten wrong ones even the right one waits; a minute later it works."""
    for _ in range(10):
        assert (await site.log_in(password="guess"))[0] == 401
    status, body = await site.log_in()
    assert (status, body["error"]) == (429, "TOO_MANY_REQUESTS")
    site.clock.advance(60)
    assert (await site.log_in())[0] == 200


@pytest.mark.parametrize("path", ["/api/session", "/api/deposit"])
async def test_without_a_log_in_nothing_is_done(site: Running, path: str) -> None:
    """Neither the wallet nor the sportsbook hears of it."""
    status, body = await site.post(path, Idempotency_Key=KEY)
    assert (status, body["error"]) == (401, "NOT_LOGGED_IN")
    assert not site.wallet.deposits
    assert not site.sportsbook.asked


@pytest.mark.parametrize("path", ["/api/session", "/api/deposit", "/api/logout", "/api/login"])
async def test_other_sites_cannot_act_for_a_player(site: Running, path: str) -> None:
    """A request that names another origin is refused, cookie or not."""
    await site.log_in()
    status, body = await site.post(path, Origin="https://elsewhere.example", Idempotency_Key=KEY)
    assert (status, body["error"]) == (400, "WRONG_ORIGIN")
    assert not site.wallet.deposits


async def test_a_session_is_for_whoever_is_logged_in(site: Running) -> None:
    """The player cannot choose to be another one, nor the currency; the frame's origin comes along."""
    await site.log_in("bob", "other-money")
    status, body = await site.post("/api/session", {"lang": "ar"})
    assert status == 200
    assert body == {"url": "http://127.0.0.1:8081/launch?token=once", "origin": "http://127.0.0.1:8081"}
    assert site.sportsbook.asked == [("bob", "EUR", "ar")]
    assert (await site.post("/api/session", {"lang": "en", "user_id": "alice"}))[0] == 400


async def test_a_sportsbook_that_fails_is_no_log_out(site: Running) -> None:
    """Whatever goes wrong between platform and supplier, the player reads of a moment's trouble."""
    await site.log_in()
    site.sportsbook.failure = Unavailable("away")
    assert (await site.post("/api/session", {"lang": "en"}))[0] == 503
    site.sportsbook.failure = StakewireError("wrong password", code="INVALID_CREDENTIALS")
    status, body = await site.post("/api/session", {"lang": "en"})
    assert status == 503
    assert "password" not in json.dumps(body)


async def test_a_deposit_carries_its_key_to_the_wallet(site: Running) -> None:
    """The same press is one deposit, another player's key another one, and a key is needed."""
    await site.log_in()
    assert (await site.post("/api/deposit"))[0] == 400
    assert (await site.post("/api/deposit", Idempotency_Key="again"))[0] == 400
    for _ in range(2):
        assert (await site.post("/api/deposit", Idempotency_Key=KEY))[0] == 200
    assert list(site.wallet.deposits.values()) == [("alice", "50.00", "EUR")]
    await site.log_in("bob", "other-money")
    assert (await site.post("/api/deposit", Idempotency_Key=KEY))[0] == 200
    assert len(site.wallet.deposits) == 2


async def test_the_hub_tells_a_player_of_the_own_account(site: Running) -> None:
    """It begins with the account as it is; without a log-in, from another site, or one too many: refused."""
    own = {"origin": site.url}
    assert await site.refusal(own) == 401
    await site.log_in()
    assert await site.refusal({"origin": "https://elsewhere.example"}) == 403
    async with AsyncExitStack() as open_pages:
        for _ in range(2):
            page = await open_pages.enter_async_context(site.page(own))
            said = await page.until("Account")
            assert said["account"] == {"balance": "100.00", "status": "active"}
            assert said["whole"] is True
        assert await site.refusal(own) == 503


async def test_the_hub_ends_with_the_log_in(site: Running) -> None:
    """After twelve hours a page has to ask whether its player is still logged in."""
    await site.log_in()
    async with site.page({"origin": site.url}) as page:
        await page.until("Account")
        site.clock.advance(LIFETIME.total_seconds())
        assert (await page.close_message())["allowReconnect"]
    assert await site.refusal({"origin": site.url}) == 401


async def test_files_come_with_a_strict_policy_and_nothing_beside_them_comes_at_all(site: Running) -> None:
    """No inline script, one frame origin, no framing of the site; paths cannot climb out of the folder."""
    async with site.http.get(site.url + "/") as answer:
        policy = answer.headers["content-security-policy"]
        assert "the site" in await answer.text()
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-src http://127.0.0.1:8081;" in policy
    assert "frame-ancestors 'none'" in policy
    async with site.http.get(site.url + "/assets/index-abc.js") as answer:
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]
    for path in (
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/%00",
        "/assets",
        "/nothing",
    ):
        async with site.http.get(site.url + path) as answer:
            assert answer.status == 404, path


async def test_a_body_that_is_no_log_in_is_refused(site: Running) -> None:
    """Wrong JSON, wrong types, a form, or far too much of it: a 4xx that says so, never a 5xx."""
    cases: list[tuple[bytes, str, int]] = [
        (b"{", "application/json", 400),
        (b'{"username": 1, "password": null}', "application/json", 400),
        (b"username=alice&password=play-money", "application/x-www-form-urlencoded", 400),
        (b'{"username": "' + b"a" * 10_000 + b'", "password": ""}', "application/json", 413),
    ]
    for body, kind, expected in cases:
        headers = {"content-type": kind}
        async with site.http.post(site.url + "/api/login", data=body, headers=headers) as answer:
            assert answer.status == expected, body[:40]


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_secret": "short"},
        {"players": {}},
        {"players": {"alice": ""}},
        {"wallet_admin_token": ""},
        {"sportsbook_password": ""},
    ],
)
def test_a_site_without_its_secrets_does_not_start(wrong: dict[str, Any]) -> None:
    """Each missing setting is named with the variable that gives it."""
    with pytest.raises(ConfigError, match="STAKEWIRE_SITE_"):
        config(**wrong)


def test_secrets_do_not_show_in_what_is_logged() -> None:
    """The configuration's own text holds none of them."""
    shown = repr(config())
    for secret in ("play-money", "other-money", "s" * 32, "t" * 32):
        assert secret not in shown
