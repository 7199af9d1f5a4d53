"""The hub of the player's page: `Board` and `Bets` as they are, then `Board` and `Bet` as they change."""

from __future__ import annotations

from starlette.requests import cookie_parser

from stakewire.clock import Clock
from stakewire.net.signalr import Hub, HubOptions, HubRequest, HubServer, Principal
from stakewire.sportsbook.access import Access, InvalidToken, PageSession
from stakewire.sportsbook.bets import Bets
from stakewire.sportsbook.events import Events, Player
from stakewire.sportsbook.http.requests import COOKIE

PATH = "/v1/page/hub"


class PageHub(Hub):
    """An open page: it listens, and has nothing to ask."""

    def __init__(self, events: Events, bets: Bets) -> None:
        self._events = events
        self._bets = bets

    async def on_connected(self) -> None:
        session = self._session
        page = self.context.connection
        player = _player(session)
        try:
            await self._events.join(
                player,
                page,
                caller=self.clients.caller,
                pages=self.clients.user(_name(player)),
                bets=lambda: self._bets.of_player(session),
            )
        except BaseException:
            self._events.leave(player, page)
            raise

    async def on_disconnected(self, error: str | None) -> None:
        self._events.leave(_player(self._session), self.context.connection)

    @property
    def _session(self) -> PageSession:
        session = self.context.claims["session"]
        assert isinstance(session, PageSession)
        return session


def page_hub(
    access: Access, events: Events, bets: Bets, *, public_url: str, max_pages: int, clock: Clock
) -> HubServer[PageHub]:
    """The hub at PATH for at most `max_pages` pages.

    One process of several may have to do with a page's only request, so WebSockets are all that it offers:
    without negotiation nothing needs to find its way back to the same process.
    """

    async def authenticate(request: HubRequest) -> Principal:
        """The session: as bearer, in the header or (browsers) the query, or as the cookie."""
        cookies = cookie_parser((request.header(b"cookie") or b"").decode("latin-1"))
        token = request.token() or cookies.get(COOKIE)
        if not token:
            raise InvalidToken("there is no session; open the page from the site")
        session = await access.session_of(token)
        return Principal(_name(_player(session)), {"session": session}, session.expires_at)

    hub = HubServer(
        PageHub,
        path=PATH,
        options=HubOptions(
            transports=("WebSockets",),
            protocols=("json",),
            max_connections=max_pages,
            allowed_origins=frozenset({public_url}),
        ),
        authenticate=authenticate,
        provide=lambda hub: hub(events, bets),
        clock=clock,
    )
    events.publish_on(hub.topic("Board"))
    return hub


def _player(session: PageSession) -> Player:
    visit = session.visit
    return visit.client_id, visit.user_id, visit.currency


def _name(player: Player) -> str:
    """Unique, since neither a number nor a currency holds a blank."""
    client_id, user_id, currency = player
    return f"{client_id} {currency} {user_id}"
