"""HTTP requests of one connection: its URL, headers and token."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
from yarl import URL

from stakewire.client.signalr.errors import ServerAway
from stakewire.client.signalr.links.base import HttpRefused, LinkEnded

TokenFactory = Callable[[], str | Awaitable[str | None] | None]

NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


class Token:
    """The bearer token in use, and where a newer one comes from."""

    __slots__ = ("_factory", "value")

    def __init__(self, factory: TokenFactory | None) -> None:
        self._factory = factory
        self.value: str | None = None

    async def renew(self) -> None:
        """Ask the factory; without one, the present token stays.

        Raises:
            ServerAway: the factory raised something, which is the cause; it is asked again next time.
        """
        if self._factory is None:
            return
        try:
            given = self._factory()
            self.value = await given if inspect.isawaitable(given) else given
        except Exception as error:
            raise ServerAway(f"the token factory failed: {type(error).__name__}", code="NO_TOKEN") from error


class HubHttp:
    """Sends requests to one hub URL.

    The token goes in the Authorization header, or in the query where the options say so, and nowhere else:
    no error text holds a URL's query.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        token: Token,
        *,
        headers: Mapping[str, str],
        token_in_query: bool,
        timeout: float,
    ) -> None:
        self.session = session
        self.url = url
        self.token = token
        self.timeout = aiohttp.ClientTimeout(total=timeout)
        self._headers = dict(headers)
        self._token_in_query = token_in_query

    def at(self, url: URL, token: Token) -> HubHttp:
        """The same for another URL and token, as a redirect of negotiation asks for."""
        return HubHttp(
            self.session,
            url,
            token,
            headers=self._headers,
            token_in_query=self._token_in_query,
            timeout=self.timeout.total or 0,
        )

    def address(self, **query: str) -> URL:
        """The hub's URL with what it came with in its query, and more."""
        if self._token_in_query and self.token.value is not None:
            query["access_token"] = self.token.value
        return self.url.update_query(query)

    def negotiate_address(self, **query: str) -> URL:
        """`{hub}/negotiate`; the hub URL's own query is kept."""
        under = (self.url / "negotiate").with_query(self.url.query)
        return under.update_query(self.address(**query).query)

    def headers(self, **more: str) -> dict[str, str]:
        """The user's headers, the token, and more."""
        found = {**self._headers, "X-Requested-With": "XMLHttpRequest", **more}
        if self.token.value is not None and not self._token_in_query:
            found["Authorization"] = f"Bearer {self.token.value}"
        return found

    async def end(self, connection_token: str) -> None:
        """DELETE: the end of long polling. An answer is not needed: the server sweeps it anyway."""
        try:
            async with self.session.delete(
                self.address(id=connection_token), headers=self.headers(), timeout=self.timeout
            ):
                pass
        except NETWORK_ERRORS:
            return


class Poster:
    """Client to server for the two transports that receive over HTTP: one POST at a time keeps the order."""

    __slots__ = ("_content_type", "_http", "_id")

    def __init__(self, http: HubHttp, connection_token: str, *, binary: bool) -> None:
        self._http = http
        self._id = connection_token
        self._content_type = "application/octet-stream" if binary else "text/plain;charset=UTF-8"

    async def post(self, data: bytes) -> None:
        """Raises LinkEnded unless the server took it; asks once for a newer token when it gets a 401."""
        try:
            status = await self._once(data)
            if status == 401:
                await self._http.token.renew()
                status = await self._once(data)
        except NETWORK_ERRORS as error:
            raise LinkEnded(f"sending failed: {describe(error)}") from error
        if status >= 300:
            raise LinkEnded(str(HttpRefused("sending", status)))

    async def _once(self, data: bytes) -> int:
        http = self._http
        headers = http.headers(**{"Content-Type": self._content_type})
        address = http.address(id=self._id)
        async with http.session.post(address, data=data, headers=headers, timeout=http.timeout) as answer:
            return answer.status


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(describe(error)) from error


def only_once(session: aiohttp.ClientSession) -> tuple[aiohttp.ClientMiddlewareType, ...]:
    """Middlewares for a GET that must not be sent twice.

    aiohttp repeats a GET by itself when its connection breaks before the answer. But the server may have
    answered the first one: the messages of a poll would then be lost without anybody knowing, and a second
    first poll or event stream is another one than was meant.
    """
    own: tuple[aiohttp.ClientMiddlewareType, ...] = tuple(getattr(session, "_middlewares", ()))
    return (*own, _once)


def describe(error: BaseException) -> str:
    """A network error in words, without the URL that some of aiohttp's carry."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port} ({error.os_error.strerror or error.os_error})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"status {error.status}"
    return type(error).__name__
