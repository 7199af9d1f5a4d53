"""The iframe page: launch, the page itself, and the API that it calls with its session."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from stakewire.betting.odds import InvalidOdds, parse_odds
from stakewire.clock import Clock
from stakewire.errors import InvalidInput, NotFound, Unavailable
from stakewire.money import Currencies
from stakewire.net.ratelimit import RateLimiter
from stakewire.sportsbook.access import Access, InvalidToken, PageSession, TooManyRequests
from stakewire.sportsbook.bets import Bets, Slip
from stakewire.sportsbook.board import Board
from stakewire.sportsbook.directory import ClientDirectory
from stakewire.sportsbook.http.requests import COOKIE, answer, check_own_origin, page_body, session_token
from stakewire.sportsbook.views import bet_json, session_json

_MAX_ID = 2**31 - 1
_BET_BURST = 10

_PAGE_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self' {}; base-uri 'none'; form-action 'none'; frame-ancestors {}"
)
_CLOSED = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sportsbook</title>'
    "<p>This link was used before or is too old. Please open the sportsbook again from the site.</p></html>"
)


class SlipBody(msgspec.Struct, frozen=True):
    """`POST /v1/page/bets`; odds and stake are decimal texts, so that no number is rounded on its way."""

    slip_id: UUID
    outcome_id: str | int
    odds: str
    stake: str


class Page:
    """Handlers of everything the player's browser asks for."""

    def __init__(
        self,
        access: Access,
        bets: Bets,
        board: Board,
        directory: ClientDirectory,
        *,
        currencies: Currencies,
        clock: Clock,
        public_url: str,
        bets_per_minute: int,
        static: Path | None = None,
    ) -> None:
        self._access = access
        self._bets = bets
        self._board = board
        self._directory = directory
        self._currencies = currencies
        self._clock = clock
        self._public_url = public_url
        self._bet_rate = RateLimiter(per_minute=bets_per_minute, burst=_BET_BURST, clock=clock)
        self._static = built_page() if static is None else static

    def routes(self) -> list[BaseRoute]:
        files = _BuiltFiles(directory=self._static, check_dir=False)
        return [
            Route("/launch", self.launch, methods=["GET"], name="launch"),
            Route("/play/{client}/", self.play, methods=["GET"], name="play"),
            Route("/v1/page/session", self.session, methods=["GET"], name="session"),
            Route("/v1/page/matches", self.matches, methods=["GET"], name="matches"),
            Route("/v1/page/bets", self.my_bets, methods=["GET"], name="bets"),
            Route("/v1/page/bets", self.place, methods=["POST"], name="place-bet"),
            Mount("/static", files, name="static"),
        ]

    async def launch(self, request: Request) -> Response:
        """Exchange the launch token once, and send the browser to an address without it."""
        if request.method == "HEAD":
            return Response(status_code=405, headers={"allow": "GET"})  # looking must not use the token up
        try:
            token, session = await self._access.launch(request.query_params.get("token", ""))
        except InvalidToken:
            return HTMLResponse(
                _CLOSED, 401, {**_PAGE_HEADERS, "content-security-policy": "default-src 'none'"}
            )
        # The fragment never leaves the browser; the page moves it to sessionStorage at once.
        where = f"/play/{session.client.name}/#s={token}"
        response = RedirectResponse(where, 303, {**_PAGE_HEADERS})
        if request.url.scheme == "https" or urlsplit(self._public_url).scheme == "https":
            seconds = int((session.expires_at - self._clock.now()).total_seconds())
            response.headers.append(
                "set-cookie",
                f"{COOKIE}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=None; Partitioned",
            )
        return response

    async def play(self, request: Request) -> Response:
        """The page, which only the client's registered sites may frame."""
        client = self._directory.find(request.path_params["client"])
        if client is None:
            raise NotFound("there is no such page")
        page = self._static / "index.html"
        if not page.is_file():
            raise Unavailable("the sportsbook's page is not built; run `make web`", code="PAGE_NOT_BUILT")
        ancestors = " ".join(client.origins) or "'none'"
        # Not every browser takes 'self' for the WebSocket, too.
        hub = f"{'wss' if request.url.scheme == 'https' else 'ws'}://{request.url.netloc}"
        headers = {**_PAGE_HEADERS, "content-security-policy": _POLICY.format(hub, ancestors)}
        return HTMLResponse(page.read_bytes(), headers=headers)

    async def session(self, request: Request) -> Response:
        return answer(session_json(await self._session(request), self._currencies))

    async def matches(self, request: Request) -> Response:
        await self._session(request)
        return answer({"matches": await self._board.matches()})

    async def my_bets(self, request: Request) -> Response:
        session = await self._session(request)
        now = self._clock.now()
        bets = await self._bets.of_player(session)
        return answer({"bets": [bet_json(bet, self._currencies, now) for bet in bets]})

    async def place(self, request: Request) -> Response:
        check_own_origin(request, self._public_url)
        session = await self._session(request)
        slip = _slip(await page_body(request, SlipBody))
        self._check_rate(session)
        bet = await self._bets.place(session, slip)
        return answer({"bet": bet_json(bet, self._currencies, self._clock.now())})

    async def _session(self, request: Request) -> PageSession:
        return await self._access.session_of(session_token(request))

    def _check_rate(self, session: PageSession) -> None:
        player = f"{session.visit.client_id} {session.visit.user_id}"
        if not self._bet_rate.allow(player):
            wait = self._bet_rate.retry_after_seconds(player)
            raise TooManyRequests(f"too many bets; try again in {wait} s", wait)


def built_page() -> Path:
    """The folder of the built page inside the package."""
    return Path(str(resources.files("stakewire"))) / "static" / "sportsbook"


def _slip(body: SlipBody) -> Slip:
    outcome_id = str(body.outcome_id)
    if not (outcome_id.isascii() and outcome_id.isdigit() and int(outcome_id[:11]) <= _MAX_ID):
        raise NotFound(f"there is no outcome {outcome_id[:20]}", code="OUTCOME_NOT_FOUND")
    try:
        odds = parse_odds(body.odds)
    except InvalidOdds as error:
        raise InvalidInput(error.message) from None
    return Slip(body.slip_id, int(outcome_id), odds, body.stake)


class _BuiltFiles(StaticFiles):
    """Scripts, styles and pictures of the built page, whose names carry a hash of what is in them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path.endswith(".html"):
            raise HTTPException(404)  # the page is only served with its client's frame policy
        response = await super().get_response(path, scope)
        response.headers["x-content-type-options"] = "nosniff"
        if path.startswith("assets/") and response.status_code == 200:
            response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response
