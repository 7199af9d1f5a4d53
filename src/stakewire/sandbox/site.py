"""The demo platform's site: log-in, balance, the sportsbook in an iframe, movements as they happen.

It is a platform in small. It reaches the wallet over its admin API only, and the sportsbook over the
contract only (`stakewire.client`), so what it does can be done by any platform's own code.

    GET  /api/me                    who is logged in, or null
    POST /api/login                 {"username", "password"}
    POST /api/logout
    POST /api/session               {"lang"} -> {"url", "origin"} of the iframe: one start-session each
    POST /api/deposit               play money, once per Idempotency-Key
         /api/hub                   SignalR: `Account` as it is, then as it moves
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import aiohttp
import msgspec
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stakewire.client import SportsbookClient
from stakewire.clock import Clock, SystemClock
from stakewire.errors import InvalidInput, StakewireError, Unauthorized, Unavailable
from stakewire.money import Currencies
from stakewire.net.asgi import AccessLog, exception_handlers, json_response, read_body
from stakewire.net.health import health_routes
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.ratelimit import RateLimiter
from stakewire.sandbox.site_config import SiteConfig
from stakewire.sandbox.site_hub import account_hub
from stakewire.sandbox.site_login import LIFETIME, Login, Logins, cookie_name
from stakewire.sandbox.site_movements import Movements, WalletView
from stakewire.sandbox.site_pages import Pages, SecurityHeaders, static_folder
from stakewire.sandbox.site_wallet import Wallet

log = structlog.get_logger("stakewire.site")

T = TypeVar("T")

MAX_BODY = 8 * 1024
KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Sportsbook(Protocol):
    """The one call of the contract that a site makes for its players."""

    async def start_session(self, user_id: str, currency: str, *, lang: str | None = None) -> str: ...


class SiteWallet(WalletView, Protocol):
    """What the site asks of the wallet besides looking."""

    async def deposit(self, user: str, amount: str, currency: str, *, key: str) -> None: ...

    async def ready(self) -> None: ...


class LoginBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of the log-in."""

    username: str
    password: str


class SessionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a new sportsbook session."""

    lang: str = "en"


class TooManyAttempts(StakewireError):
    """Too many wrong passwords."""

    default_code = "TOO_MANY_REQUESTS"
    http_status = 429
    retryable = True


class Site:
    """The site's handlers; what they reach for is passed in."""

    def __init__(
        self,
        config: SiteConfig,
        *,
        wallet: SiteWallet,
        sportsbook: Sportsbook,
        movements: Movements,
        logins: Logins,
        clock: Clock,
    ) -> None:
        self._config = config
        self._exponent = Currencies.default().get(config.currency).exponent
        self._wallet = wallet
        self._sportsbook = sportsbook
        self._movements = movements
        self._logins = logins
        self._wrong = RateLimiter(per_minute=10, burst=10, clock=clock)

    def routes(self) -> list[Route]:
        """Everything but the files."""
        return [
            Route("/api/me", self.me),
            Route("/api/login", self.login, methods=["POST"]),
            Route("/api/logout", self.logout, methods=["POST"]),
            Route("/api/session", self.session, methods=["POST"]),
            Route("/api/deposit", self.deposit, methods=["POST"]),
        ]

    async def me(self, request: Request) -> Response:
        """Who is logged in; a browser without a log-in gets null, which is no error."""
        login = self._login(request)
        return json_response(
            {"player": None if login is None else self._player(login.user)}, headers=NO_STORE
        )

    async def login(self, request: Request) -> Response:
        """Check the password and give the cookie."""
        body = await _json(request, LoginBody)
        peer = request.client.host if request.client else ""
        if self._wrong.exhausted(peer):
            raise TooManyAttempts("too many wrong passwords; wait a minute and try again")
        if not self._logins.check(body.username, body.password):
            self._wrong.allow(peer)
            raise Unauthorized("this name and password do not fit together", code="INVALID_CREDENTIALS")
        answer = json_response({"player": self._player(body.username)}, headers=NO_STORE)
        answer.set_cookie(
            _cookie_name(request),
            self._logins.issue(body.username),
            max_age=int(LIFETIME.total_seconds()),
            httponly=True,
            secure=request.url.scheme == "https",
            samesite="strict",
        )
        return answer

    async def logout(self, request: Request) -> Response:
        """Take the cookie away."""
        _check_origin(request)
        answer = json_response({"player": None}, headers=NO_STORE)
        answer.delete_cookie(
            _cookie_name(request), httponly=True, secure=request.url.scheme == "https", samesite="strict"
        )
        return answer

    async def session(self, request: Request) -> Response:
        """Start a session at the sportsbook for whoever is logged in."""
        user = self._user(request)
        body = await _json(request, SessionBody)
        try:
            url = await self._sportsbook.start_session(user, self._config.currency, lang=body.lang[:16])
        except StakewireError as error:
            # Wrong credentials are the platform's trouble with its supplier, not the player's.
            log.warning("no sportsbook session", error=error.code, message=error.message)
            raise Unavailable("the sportsbook cannot be opened at the moment") from error
        return json_response({"url": url, "origin": self._config.frame_origin}, headers=NO_STORE)

    async def deposit(self, request: Request) -> Response:
        """Add play money, once per key."""
        user = self._user(request)
        _check_origin(request)
        key = request.headers.get("idempotency-key", "")
        if KEY.fullmatch(key) is None:
            raise InvalidInput("the header Idempotency-Key must be a UUID in lower case")
        await self._wallet.deposit(
            user, self._config.deposit, self._config.currency, key=f"site-{user}-{key}"[-128:]
        )
        self._movements.nudge(user)
        return json_response({"deposited": self._config.deposit}, headers=NO_STORE)

    def _login(self, request: Request) -> Login | None:
        return self._logins.read(request.cookies.get(_cookie_name(request)))

    def _user(self, request: Request) -> str:
        login = self._login(request)
        if login is None:
            raise Unauthorized("log in first", code="NOT_LOGGED_IN")
        return login.user

    def _player(self, user: str) -> dict[str, object]:
        config = self._config
        return {
            "name": user,
            "currency": config.currency,
            "exponent": self._exponent,
            "deposit": config.deposit,
        }


NO_STORE = {"cache-control": "no-store"}


async def _json(request: Request, kind: type[T]) -> T:
    _check_origin(request)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise InvalidInput("send application/json")  # a form of another site cannot
    try:
        return msgspec.json.decode(await read_body(request, MAX_BODY), type=kind)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the body is wrong: {error}") from None


def _check_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host')}":
        raise InvalidInput("this request must come from the site's own page", code="WRONG_ORIGIN")


def _cookie_name(request: Request) -> str:
    return cookie_name(request.url.scheme, request.url.port)


def build_app(config: SiteConfig, site: Site, wallet: SiteWallet, pages: Pages, clock: Clock) -> Starlette:
    """The ASGI app of the whole site."""
    return Starlette(
        routes=[
            *site.routes(),
            *health_routes({"wallet": wallet.ready}),
            Route("/{path:path}", pages.get, methods=["GET"]),
        ],
        middleware=[
            Middleware(AccessLog, clock=clock),
            Middleware(SecurityHeaders, frame_origin=config.frame_origin),
        ],
        exception_handlers=exception_handlers(),
    )


async def serve(
    config: SiteConfig,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    ready: Callable[[], None],
    *,
    tls: ssl.SSLContext | None = None,
    clock: Clock | None = None,
) -> None:
    """Run the site on sockets bound before, until `stop` is set; `ready` is called once it answers.

    Raises:
        ConfigError: the pages are not built.
    """
    clock = SystemClock() if clock is None else clock
    pages = Pages(static_folder())
    async with (
        aiohttp.ClientSession() as http,
        SportsbookClient(
            config.sportsbook_url, config.sportsbook_username, config.sportsbook_password
        ) as sportsbook,
    ):
        wallet = Wallet(http, config.wallet_url, config.wallet_admin_token)
        movements = Movements(wallet, config.currency, poll=config.poll)
        logins = Logins(config.players, config.session_secret, clock)
        site = Site(
            config, wallet=wallet, sportsbook=sportsbook, movements=movements, logins=logins, clock=clock
        )
        hub = account_hub(movements, logins, max_pages=config.max_pages, clock=clock)
        server = HttpServer(
            app=build_app(config, site, wallet, pages, clock),
            find_hot=lambda method, path: None,
            find_direct=hub.find_direct,
            limits=HttpLimits(connections=config.max_connections),
            trusted_proxies=config.trusted_proxies,
            clock=clock,
        )
        async with hub:
            for sock in sockets:
                await server.start(sock, tls)
            ready()
            await stop.wait()
        await server.stop(config.stop_grace)
