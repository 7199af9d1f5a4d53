"""The sportsbook over HTTP, its callbacks included: what clients, browsers and strangers see."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
import schemathesis
from tests.hub_page import hub_page
from tests.integration.sportsbook.conftest import MASTER_KEY
from tests.integration.sportsbook.serving import (
    SECURITY_HASH,
    Browser,
    WalletOverHttp,
    page_folder,
    served,
    wallet_over_http,
)

from stakewire.betting.markets import Score
from stakewire.clock import SystemClock
from stakewire.ids import SystemTokens
from stakewire.money import Currencies
from stakewire.net.egress import EgressGuard
from stakewire.postgres.connect import open_pool
from stakewire.postgres.crypto import Vault
from stakewire.sportsbook.app import open_sportsbook
from stakewire.sportsbook.clients import Clients
from stakewire.sportsbook.config import SportsbookConfig
from stakewire.sportsbook.http.openapi import document
from stakewire.sportsbook.passwords import Passwords
from stakewire.sportsbook.settlement import Rulings
from stakewire.wire.sportsbook.messages import Action

LOOPBACK = (ip_network("127.0.0.0/8"),)


@dataclass
class Site:
    """A served sportsbook with one client, and what it takes to call it."""

    base: str
    password: str
    http: aiohttp.ClientSession
    wallet: WalletOverHttp
    pool: Any

    def browser(self) -> Browser:
        return Browser(self.http, self.base)

    async def token(self) -> str:
        status, answer = await self.browser().post(
            "/v1/auth", {"username": "acme", "password": self.password}
        )
        assert status == 200
        return str(answer["token"])

    async def launch_url(self, user: str = "alice", **more: str) -> str:
        headers = {"authorization": f"Bearer {await self.token()}"}
        body = {"user_id": user, "currency": "EUR", **more}
        status, answer = await self.browser().post("/v1/start-session", body, headers=headers)
        assert status == 200
        return str(answer["url"])

    async def player(self, user: str = "alice") -> Browser:
        """A browser whose page is launched."""
        async with self.http.get(await self.launch_url(user), allow_redirects=False) as response:
            assert response.status == 303
            bearer = urlsplit(response.headers["location"]).fragment.removeprefix("s=")
        browser = self.browser()
        browser.headers = {"authorization": f"Bearer {bearer}", "origin": self.base}
        return browser

    async def slip(self, browser: Browser, name: str = "1", stake: str = "5.00") -> dict[str, str]:
        """A slip on an outcome of the first match of the own schedule."""
        _, answer = await browser.get("/v1/page/matches")
        outcomes = [one for market in answer["matches"][0]["markets"] for one in market["outcomes"]]
        (outcome,) = (one for one in outcomes if one["name"] == name)
        return {
            "slip_id": str(uuid4()),
            "outcome_id": outcome["id"],
            "odds": outcome["odds"],
            "stake": stake,
        }


@pytest.fixture
async def site(
    new_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """A sportsbook with its own schedule, served, with one client whose wallet answers over HTTP."""
    page = page_folder(tmp_path / "page")
    monkeypatch.setattr("stakewire.sportsbook.http.page.built_page", lambda: page)
    config = SportsbookConfig(
        database_url=new_database("sportsbook"),
        data_dir=tmp_path,
        master_key=MASTER_KEY,
        egress_allow=LOOPBACK,
        auth_attempts_per_minute=5,
    )
    pool = await open_pool(config.database_url, schema="sportsbook", role=None)
    async with wallet_over_http() as wallet, aiohttp.ClientSession() as http:
        clients = Clients(
            pool,
            vault=Vault.from_settings(MASTER_KEY, tmp_path),
            urls=EgressGuard(LOOPBACK),
            currencies=Currencies.default(),
            tokens=SystemTokens(),
            clock=SystemClock(),
            passwords=Passwords(),
        )
        made = await clients.add(
            "acme",
            callback_url=wallet.url,
            origins=("https://casino.example",),
            security_hash=SECURITY_HASH,
        )
        assert made.password is not None
        async with served(config) as base:
            yield Site(base, made.password, http, wallet, pool)
    await pool.close()


async def test_a_bet_is_placed_settled_and_paid_over_the_wire(site: Site) -> None:
    """From the slip to the payout: bet, result, and what the page shows of it."""
    browser = await site.player()
    status, answer = await browser.post("/v1/page/bets", await site.slip(browser))
    assert (status, answer["bet"]["state"], answer["bet"]["stake"]) == (200, "accepted", "5.00")
    (bet,) = await site.wallet.until(Action.BET)
    assert (bet.user_id, bet.currency, str(bet.amount)) == ("alice", "EUR", "5.00")

    await Rulings(site.pool, SystemClock()).result(int(answer["bet"]["match"]["id"]), Score(2, 0))
    (result,) = await site.wallet.until(Action.RESULT)
    _, mine = await browser.get("/v1/page/bets")
    (shown,) = mine["bets"]
    assert (shown["state"], shown["payout"], shown["match"]["score"]) == ("won", str(result.amount), [2, 0])
    assert shown["payout"] == shown["potential_payout"]


async def test_a_declined_bet_is_an_answer_and_not_an_error(site: Site) -> None:
    """The player learns why in the bet itself."""
    browser = await site.player()
    site.wallet.answers = ["INSUFFICENT_FUNDS"]
    status, answer = await browser.post("/v1/page/bets", await site.slip(browser))
    assert (status, answer["bet"]["state"], answer["bet"]["refusal"]) == (200, "refused", "INSUFFICENT_FUNDS")


@pytest.mark.parametrize("answer", ["silence", "INTERNAL_ERROR", "USER_NOT_FOUND"])
async def test_an_unclear_answer_refuses_the_bet_and_its_rollback_arrives(site: Site, answer: str) -> None:
    """Whatever is neither yes nor a final no may hide a debit."""
    browser = await site.player()
    site.wallet.answers = [answer]
    _, said = await browser.post("/v1/page/bets", await site.slip(browser))
    assert (said["bet"]["state"], said["bet"]["refusal"], said["bet"]["rolled_back"]) == (
        "refused",
        "UNKNOWN",
        True,
    )
    (rollback,) = await site.wallet.until(Action.ROLLBACK)
    assert rollback.target_id == f"{said['bet']['id']}-bet"
    assert str(rollback.amount) == "5.00"


async def test_a_void_match_brings_the_stake_back(site: Site) -> None:
    """Void is a rollback of the bet, no result."""
    browser = await site.player()
    _, answer = await browser.post("/v1/page/bets", await site.slip(browser))
    await Rulings(site.pool, SystemClock()).void(int(answer["bet"]["match"]["id"]))
    await site.wallet.until(Action.ROLLBACK)
    assert [one.action for one in site.wallet.received] == [Action.BET, Action.ROLLBACK]


async def test_the_launch_url_is_exchanged_once_and_leaves_the_address(site: Site) -> None:
    """The first visit is sent on to a page without the token; the second sees a plain sentence."""
    url = await site.launch_url()
    token = parse_qs(urlsplit(url).query)["token"][0]
    async with site.http.head(url) as looked:
        assert looked.status == 405
    async with site.http.get(url, allow_redirects=False) as first:
        assert first.status == 303
        assert first.headers["location"].startswith("/play/acme/#s=")
        assert token not in first.headers["location"]
        assert first.headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in first.headers, "a Secure cookie makes no sense over plain http"
    async with site.http.get(url, allow_redirects=False) as second:
        assert second.status == 401
        assert "used before" in await second.text()


async def test_the_page_may_be_framed_by_the_clients_origins_only(site: Site) -> None:
    """The policy names the registered sites; the bare file, without a policy, is not served."""
    async with site.http.get(site.base + "/play/acme/") as page:
        policy = page.headers["content-security-policy"]
        assert "frame-ancestors https://casino.example" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
    for path, status in (
        ("/play/nobody/", 404),
        ("/static/index.html", 404),
        ("/static/../app.py", 404),
        ("/static/assets/page-1a2b.js", 200),
    ):
        async with site.http.get(site.base + path) as response:
            assert response.status == status, path


async def test_auth_answers_as_the_contract_says(site: Site) -> None:
    """Token and whole seconds; failures are a code and a sentence, and many of them a 429."""
    status, answer = await site.browser().post(
        "/v1/auth", {"username": "acme", "password": site.password, "more": 1}
    )
    assert (status, set(answer), answer["expires_in"]) == (200, {"token", "expires_in"}, 3600)
    wrong = {"username": "acme", "password": "wrong"}
    said = [await site.browser().post("/v1/auth", wrong) for _ in range(6)]
    assert [(status, answer["error"]) for status, answer in said] == [(401, "INVALID_CREDENTIALS")] * 5 + [
        (429, "TOO_MANY_REQUESTS")
    ]
    async with site.http.post(site.base + "/v1/auth", json=wrong) as limited:
        assert int(limited.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"user_id": "alice"}, 400, "INVALID_REQUEST"),
        ({"user_id": 7, "currency": "EUR"}, 400, "INVALID_REQUEST"),
        ({"user_id": "", "currency": "EUR"}, 400, "INVALID_REQUEST"),
        ({"user_id": "a\u0000", "currency": "EUR"}, 400, "INVALID_REQUEST"),
        ({"user_id": "alice", "currency": "USD"}, 403, "CURRENCY_NOT_ALLOWED"),
        ({"user_id": "alice", "currency": "EUR", "lang": 5}, 400, "INVALID_REQUEST"),
        ([], 400, "INVALID_REQUEST"),
    ],
)
async def test_wrong_start_sessions_are_named(site: Site, body: object, status: int, error: str) -> None:
    """Each wrong field has its answer, and none of them is a 5xx."""
    headers = {"authorization": f"Bearer {await site.token()}"}
    got, answer = await site.browser().post("/v1/start-session", body, headers=headers)
    assert (got, answer["error"]) == (status, error)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/start-session", {}),
        ("/v1/start-session", {"authorization": "Bearer nothing"}),
        ("/v1/start-session", {"authorization": "Basic YTpi"}),
        ("/v1/page/bets", {"authorization": "Bearer nothing"}),
        ("/v1/page/bets", {"cookie": "__Host-stakewire=nothing", "origin": "{base}"}),
    ],
)
async def test_without_a_token_nothing_is_told(site: Site, path: str, headers: dict[str, str]) -> None:
    """No token, a wrong one, another scheme: 401 before the body is looked at."""
    headers = {name: value.format(base=site.base) for name, value in headers.items()}
    status, answer = await site.browser().post(path, {"user_id": "alice"}, headers=headers)
    assert (status, answer["error"]) == (401, "INVALID_TOKEN")


async def test_a_client_cannot_use_its_players_tokens_nor_they_its(site: Site) -> None:
    """API token and page session open different doors."""
    player = await site.player()
    status, _ = await player.post("/v1/start-session", {"user_id": "bob", "currency": "EUR"})
    assert status == 401
    status, _ = await site.browser().get(
        "/v1/page/bets", headers={"authorization": f"Bearer {await site.token()}"}
    )
    assert status == 401


async def test_another_sites_page_cannot_place_a_bet(site: Site) -> None:
    """A foreign origin, a form's body, a cookie without an origin: refused before anything is sent."""
    browser = await site.player()
    slip = await site.slip(browser)
    status, answer = await browser.post("/v1/page/bets", slip, headers={"origin": "https://evil.example"})
    assert (status, answer["error"]) == (403, "WRONG_ORIGIN")
    async with site.http.post(
        site.base + "/v1/page/bets",
        data=json.dumps(slip),
        headers={**browser.headers, "content-type": "text/plain"},
    ) as response:
        assert response.status == 415
    bearer = browser.headers["authorization"].removeprefix("Bearer ")
    cookie = {"cookie": f"__Host-stakewire={bearer}"}
    status, _ = await site.browser().post("/v1/page/bets", slip, headers=cookie)
    assert status == 403
    assert not site.wallet.received
    own = {**cookie, "origin": site.base}
    status, _ = await site.browser().post("/v1/page/bets", slip, headers=own)
    assert status == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"odds": "1.01"}, 409, "ODDS_CHANGED"),
        ({"odds": "two"}, 400, "INVALID_REQUEST"),
        ({"odds": 2.1}, 400, "INVALID_REQUEST"),
        ({"stake": "0.00"}, 422, "INVALID_STAKE"),
        ({"stake": "-5"}, 422, "INVALID_STAKE"),
        ({"stake": "5.001"}, 422, "INVALID_STAKE"),
        ({"stake": None}, 400, "INVALID_REQUEST"),
        ({"outcome_id": "999999"}, 404, "OUTCOME_NOT_FOUND"),
        ({"outcome_id": "9" * 30}, 404, "OUTCOME_NOT_FOUND"),
        ({"outcome_id": "-1"}, 404, "OUTCOME_NOT_FOUND"),
        ({"slip_id": "no uuid"}, 400, "INVALID_REQUEST"),
    ],
)
async def test_wrong_slips_are_named_and_send_nothing(
    site: Site, changes: dict[str, object], status: int, error: str
) -> None:
    """Each has its code; changed odds come with the present ones."""
    browser = await site.player()
    slip = await site.slip(browser)
    got, answer = await browser.post("/v1/page/bets", {**slip, **changes})
    assert (got, answer["error"]) == (status, error)
    if error == "ODDS_CHANGED":
        assert answer["odds"] == slip["odds"]
    assert not site.wallet.received


async def test_a_player_who_bets_too_fast_is_slowed_down(site: Site) -> None:
    """Ten at once are fine, more wait; another player is not affected."""
    browser = await site.player()
    slip = await site.slip(browser)
    statuses = [
        (await browser.post("/v1/page/bets", {**slip, "slip_id": str(uuid4())}))[0] for _ in range(12)
    ]
    assert statuses.count(200) >= 10
    assert statuses[-1] == 429
    bob = await site.player("bob")
    assert (await bob.post("/v1/page/bets", {**slip, "slip_id": str(uuid4())}))[0] == 200


async def test_an_open_page_is_told_what_is_and_then_what_changes(site: Site) -> None:
    """The board for everybody, the own bets for their player; the token may stand in the query."""
    browser = await site.player()
    token = browser.headers["authorization"].removeprefix("Bearer ")
    address = f"{site.base}/v1/page/hub?access_token={token}"
    async with hub_page(site.http, address, headers={"origin": site.base}) as page:
        assert await page.next() == ("Bets", [])
        target, board = await page.next()
        assert (target, board) == ("Board", (await browser.get("/v1/page/matches"))[1]["matches"])
        slip = await site.slip(browser)
        await browser.post("/v1/page/bets", slip)
        bet = await page.until("Bet")
        assert (bet["slip_id"], bet["state"]) == (slip["slip_id"], "accepted")
        await site.pool.execute("UPDATE outcome SET odds = 7.77 WHERE id = $1", int(slip["outcome_id"]))
        assert "7.77" in json.dumps(await page.until("Board"))
        await Rulings(site.pool, SystemClock()).result(int(bet["match"]["id"]), Score(0, 3))
        assert (await page.until("Bet"))["state"] == "lost"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://casino.example"}, 403),
        ({"authorization": "Bearer nobody"}, 401),
        ({"authorization": ""}, 401),
    ],
)
async def test_the_hub_is_for_the_own_page_of_a_player(
    site: Site, headers: dict[str, str], status: int
) -> None:
    """Another site's page, even the one that frames ours, an unknown token and none are refused."""
    browser = await site.player()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with hub_page(site.http, f"{site.base}/v1/page/hub", headers={**browser.headers, **headers}):
            pass
    assert refused.value.status == status


async def test_the_description_is_valid_and_names_every_route(site: Site) -> None:
    """OpenAPI 3.1, served, and neither more nor less than what is answered under /v1."""
    status, served_document = await site.browser().get("/v1/openapi.json")
    assert (status, served_document) == (200, document(site.base))
    schemathesis.openapi.from_dict(served_document).validate()
    for path, operations in served_document["paths"].items():
        for method in operations:
            async with site.http.request(method, site.base + path) as response:
                assert response.status not in (404, 405), path


async def test_health_and_metrics_answer(site: Site) -> None:
    """Live, ready, and counts of what was answered, by code."""
    assert (await site.browser().get("/health/live"))[0] == 200
    assert (await site.browser().get("/health/ready"))[0] == 200
    await site.browser().post("/v1/auth", {"username": "x", "password": "y"})
    browser = await site.player()
    await browser.post("/v1/page/bets", await site.slip(browser))
    async with site.http.get(site.base + "/metrics") as response:
        text = await response.text()
    assert 'stakewire_sportsbook_answers_total{code="INVALID_CREDENTIALS",operation="auth"} 1.0' in text
    assert 'stakewire_sportsbook_bets_total{outcome="accepted"} 1.0' in text
    assert "stakewire_callback_attempts_total" in text


async def test_sessions_of_two_clients_never_meet(site: Site) -> None:
    """The session names its client; nothing a page sends can name another."""
    alice, bob = await site.player("alice"), await site.player("bob")
    await alice.post("/v1/page/bets", await site.slip(alice))
    assert (await bob.get("/v1/page/bets"))[1] == {"bets": []}
    _, said = await bob.get("/v1/page/session")
    assert (said["client"], said["user_id"], said["exponent"]) == ("acme", "bob", 2)
    assert said["origins"] == ["https://casino.example"]


async def test_a_database_that_is_away_is_a_503_and_not_a_stack_trace(site: Site, postgres: Any) -> None:
    """While PostgreSQL takes no connections the answers say so; afterwards all is as before."""
    browser = await site.player()
    name = await site.pool.fetchval("SELECT current_database()")
    admin = await asyncpg.connect(postgres.dsn_of("postgres"))
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    answers = [await browser.get("/v1/page/bets"), await browser.get("/health/ready")]
    assert [status for status, _ in answers] == [503, 503]
    assert answers[0][1]["error"] == "UNAVAILABLE"
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await admin.close()
    assert (await browser.get("/v1/page/bets"))[0] == 200


async def test_over_https_the_session_is_a_partitioned_host_cookie_too(
    new_database: Callable[..., str], tmp_path: Path
) -> None:
    """Behind a proxy that ends TLS: Secure, HttpOnly, for frames of other sites, for twelve hours."""
    config = SportsbookConfig(
        database_url=new_database("sportsbook"),
        data_dir=tmp_path,
        master_key=MASTER_KEY,
        public_url="https://bets.example",
        egress_allow=LOOPBACK,
    )
    async with open_sportsbook(config, public_url="https://bets.example") as book:
        clients = Clients(
            book.pool,
            vault=Vault.from_settings(MASTER_KEY, tmp_path),
            urls=EgressGuard(LOOPBACK),
            currencies=Currencies.default(),
            tokens=SystemTokens(),
            clock=SystemClock(),
            passwords=Passwords(),
        )
        made = await clients.add("acme", callback_url="http://127.0.0.1:9/")
    async with served(config) as base, aiohttp.ClientSession() as http:
        browser = Browser(http, base)
        _, auth = await browser.post("/v1/auth", {"username": "acme", "password": made.password})
        headers = {"authorization": f"Bearer {auth['token']}"}
        _, started = await browser.post(
            "/v1/start-session", {"user_id": "alice", "currency": "EUR"}, headers=headers
        )
        assert started["url"].startswith("https://bets.example/launch?token=")
        launch = base + started["url"].removeprefix("https://bets.example")
        async with http.get(launch, allow_redirects=False) as response:
            cookie = response.headers["set-cookie"]
            bearer = urlsplit(response.headers["location"]).fragment.removeprefix("s=")
        assert cookie.startswith(f"__Host-stakewire={bearer}; Path=/; Max-Age=43")
        assert cookie.endswith("; Secure; HttpOnly; SameSite=None; Partitioned")
        status, _ = await browser.get("/v1/page/session", headers={"cookie": f"__Host-stakewire={bearer}"})
        assert status == 200
