"""From a URL to an open transport: negotiation, redirects, the order of transports, falling back."""

from __future__ import annotations

from dataclasses import dataclass

from yarl import URL

from stakewire.client.signalr.errors import BadAnswer, NotAuthorized, NotSupported, ServerAway
from stakewire.client.signalr.links.base import HttpRefused, Link
from stakewire.client.signalr.links.http import NETWORK_ERRORS, HubHttp, Token, describe
from stakewire.client.signalr.links.longpolling import open_polling
from stakewire.client.signalr.links.sse import open_events
from stakewire.client.signalr.links.websocket import open_websocket
from stakewire.client.signalr.options import ClientOptions
from stakewire.errors import StakewireError
from stakewire.wire.signalr.errors import NegotiateRefused, ProtocolError
from stakewire.wire.signalr.negotiate import Negotiation, Redirect, Transport, read_negotiation
from stakewire.wire.signalr.protocol import HubProtocol

_MAX_NEGOTIATION_BYTES = 64 * 1024
_LATER = frozenset(
    {404, 408, 425, 429}
)  # a deployment in progress, a rate limit: another attempt may succeed


class ConnectionGone(Exception):
    """The server does not know the connection any more."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """An open transport and what was agreed on; `http` knows the URL that a redirect led to.

    Attributes:
        connection_id: the connection's public name; None without negotiation.
        handle: what stands for it in requests; secret.
    """

    link: Link
    transport: Transport
    connection_id: str | None
    handle: str | None
    stateful: bool
    http: HubHttp


class Dialer:
    """Opens transports to one hub."""

    def __init__(self, http: HubHttp, protocol: HubProtocol, options: ClientOptions) -> None:
        """`http` holds the hub's URL and the user's token factory."""
        self._http = http
        self._protocol = protocol
        self._options = options
        self._binary = protocol.transfer_format == "Binary"

    async def dial(self) -> Dialled:
        """Negotiate and open the first transport that works, in the server's order.

        Negotiates again before each further transport: an id is good for one kind only.

        Raises:
            ServerAway, NotAuthorized, NotSupported, BadAnswer: see `errors`.
        """
        if self._options.skip_negotiation:
            return await self._dial_directly()
        failures: list[str] = []
        tried: set[Transport] = set()
        away = False
        while True:
            http, negotiation = await self._negotiate()
            transport = self._choose(negotiation, tried)
            if transport is None:
                raise _no_transport(failures, away, self._protocol)
            tried.add(transport)
            await http.token.renew()
            try:
                link = await self._open(transport, http, negotiation.handle)
            except HttpRefused as error:
                if error.status == 401:
                    raise refusal(error) from None
                away = away or _is_passing(error.status)
                failures.append(f"{transport.value}: {error}")
            except NETWORK_ERRORS as error:
                away = True
                failures.append(f"{transport.value}: {describe(error)}")
            else:
                stateful = negotiation.use_stateful_reconnect and transport is Transport.WEB_SOCKETS
                return Dialled(link, transport, negotiation.connection_id, negotiation.handle, stateful, http)

    async def redial(self, dialled: Dialled) -> Link:
        """Open the WebSocket of a cut connection again: the same URL and id, without negotiation.

        Raises:
            ConnectionGone: there is nothing to resume.
            ServerAway: no answer, or one that may change.
        """
        try:
            await dialled.http.token.renew()
            return await self._open(Transport.WEB_SOCKETS, dialled.http, dialled.handle)
        except HttpRefused as error:
            if error.status == 409 or (error.status != 404 and _is_passing(error.status)):
                raise ServerAway(str(error)) from None  # 409: the server has not noticed the cut yet
            raise ConnectionGone(str(error)) from None
        except NETWORK_ERRORS as error:
            raise ServerAway(f"reopening the connection failed: {describe(error)}") from error

    async def _dial_directly(self) -> Dialled:
        http = self._http
        await http.token.renew()
        try:
            link = await self._open(Transport.WEB_SOCKETS, http, None)
        except HttpRefused as error:
            raise refusal(error) from None
        except NETWORK_ERRORS as error:
            raise ServerAway(f"the server is away: {describe(error)}") from error
        return Dialled(link, Transport.WEB_SOCKETS, None, None, False, http)

    async def _negotiate(self) -> tuple[HubHttp, Negotiation]:
        http = self._http
        await http.token.renew()
        for _ in range(self._options.max_redirects + 1):
            answer = await self._ask(http)
            if isinstance(answer, Negotiation):
                if answer.use_stateful_reconnect and not self._options.stateful_reconnect:
                    raise BadAnswer("the server wants stateful reconnect, which was not asked for")
                return http, answer
            http = http.at(_url(answer), _given(answer, http.token))
        raise BadAnswer(f"negotiation was redirected more than {self._options.max_redirects} times")

    async def _ask(self, http: HubHttp) -> Negotiation | Redirect:
        query = {"negotiateVersion": "1"}
        if self._options.stateful_reconnect:
            query["useStatefulReconnect"] = "true"
        headers = http.headers(**{"Content-Type": "text/plain;charset=UTF-8"})
        address = http.negotiate_address(**query)
        try:
            async with http.session.post(address, headers=headers, timeout=http.timeout) as answer:
                if answer.status != 200:
                    raise refusal(HttpRefused("negotiation", answer.status))
                body = await answer.content.read(_MAX_NEGOTIATION_BYTES)
                while piece := await answer.content.read(_MAX_NEGOTIATION_BYTES):
                    body += piece
                    if len(body) > _MAX_NEGOTIATION_BYTES:
                        raise BadAnswer(f"the answer to negotiation is over {_MAX_NEGOTIATION_BYTES} bytes")
        except NETWORK_ERRORS as error:
            raise ServerAway(f"negotiation failed: {describe(error)}") from error
        try:
            return read_negotiation(body)
        except NegotiateRefused as error:
            raise NotSupported(f"the server refused: {error.message}", code="NEGOTIATION_REFUSED") from None
        except ProtocolError as error:
            raise BadAnswer(f"{error.message}; is this the URL of a SignalR hub?") from None

    def _choose(self, negotiation: Negotiation, tried: set[Transport]) -> Transport | None:
        for transport, formats in negotiation.transports.items():
            fits = transport in self._options.transports and self._protocol.transfer_format in formats
            if fits and transport not in tried:
                return transport
        return None

    async def _open(self, transport: Transport, http: HubHttp, handle: str | None) -> Link:
        options = self._options
        if transport is Transport.WEB_SOCKETS:
            return await open_websocket(
                http,
                handle,
                binary=self._binary,
                compression=options.compression,
                max_message_bytes=options.max_message_bytes,
                send_seconds=options.server_timeout_seconds,
                close_seconds=options.close_seconds,
            )
        assert handle is not None
        if transport is Transport.SERVER_SENT_EVENTS:
            return await open_events(
                http, handle, binary=self._binary, max_message_bytes=options.max_message_bytes
            )
        return await open_polling(http, handle, binary=self._binary, poll_seconds=options.poll_seconds)


def refusal(error: HttpRefused) -> StakewireError:
    """The error for a status that means no."""
    if error.status in (401, 403):
        return NotAuthorized(str(error))
    if error.status == 404:
        return ServerAway(f"{error}; is this the URL of a SignalR hub?")
    if _is_passing(error.status):
        return ServerAway(str(error))
    return NotSupported(str(error))


def _is_passing(status: int) -> bool:
    return status >= 500 or status in _LATER


def _url(redirect: Redirect) -> URL:
    url = URL(redirect.url)
    if url.scheme not in ("http", "https") or not url.host:
        raise BadAnswer("negotiation was redirected to something that is no http or https URL")
    return url


def _given(redirect: Redirect, present: Token) -> Token:
    if redirect.access_token is None:
        return present
    token = Token(None)
    token.value = redirect.access_token
    return token


def _no_transport(failures: list[str], away: bool, protocol: HubProtocol) -> StakewireError:
    if not failures:
        return NotSupported(
            f"the server offers no transport that is allowed here and carries {protocol.name}"
        )
    text = "no transport could be opened: " + "; ".join(failures)
    return ServerAway(text) if away else NotSupported(text)
