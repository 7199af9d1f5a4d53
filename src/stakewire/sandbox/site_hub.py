"""The hub behind the site's page: `Account`, with the whole at first and then each change."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import cookie_parser

from stakewire.clock import Clock
from stakewire.errors import Unauthorized
from stakewire.net.signalr import Hub, HubOptions, HubRequest, HubServer, Principal
from stakewire.sandbox.site_login import Logins, cookie_name
from stakewire.sandbox.site_movements import Movements

PATH = "/api/hub"


class AccountHub(Hub):
    """A page of a player who is logged in: it listens, and has nothing to ask."""

    def __init__(self, movements: Movements) -> None:
        self._movements = movements

    async def on_connected(self) -> None:
        user, page = self._who()
        await self._movements.join(user, page, self.clients.caller, self.clients.user(user))

    async def on_disconnected(self, error: str | None) -> None:
        self._movements.leave(*self._who())

    def _who(self) -> tuple[str, str]:
        user = self.context.user_id
        assert user is not None, "the authenticator lets nobody in without a name"
        return user, self.context.connection_id


def account_hub(
    movements: Movements, logins: Logins, *, max_pages: int, clock: Clock
) -> HubServer[AccountHub]:
    """The hub at PATH for at most `max_pages` pages."""

    def authenticate(request: HubRequest) -> Principal:
        """The log-in that the site's own page carries; browsers name the page's origin at each upgrade."""
        origin = urlsplit((request.header(b"origin") or b"").decode("latin-1"))
        cookies = cookie_parser((request.header(b"cookie") or b"").decode("latin-1"))
        login = logins.read(cookies.get(cookie_name(origin.scheme, origin.port)))
        if login is None:
            raise Unauthorized("log in first", code="NOT_LOGGED_IN")
        return Principal(login.user, expires_at=login.expires_at)

    return HubServer(
        AccountHub,
        path=PATH,
        options=HubOptions(transports=("WebSockets",), protocols=("json",), max_connections=max_pages),
        authenticate=authenticate,
        provide=lambda hub: hub(movements),
        clock=clock,
    )
