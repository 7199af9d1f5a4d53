"""One HTTP request to a hub, whichever server it came in by."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote_plus

HeaderLines = Sequence[tuple[bytes, bytes]]


class HubRequest:
    """What an authenticator and the hub's routes read of a request.

    Attributes:
        method: upper case ("POST").
        path: raw and undecoded, without the query.
        query: what follows the "?", raw. It may hold the access token: never write it to a log.
        headers: (name in lower case, value), in order of arrival.
        body: the complete body.
        peer: the client's address as text.
    """

    __slots__ = ("_parameters", "body", "headers", "method", "path", "peer", "query")

    def __init__(
        self, method: str, path: str, query: str, headers: HeaderLines, body: bytes = b"", peer: str = ""
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
        self._parameters: dict[str, str] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def parameter(self, name: str) -> str | None:
        """The first query parameter of this name; names are looked up without regard to case, as in .NET."""
        parameters = self._parameters
        if parameters is None:
            parameters = self._parameters = {}
            for part in self.query.split("&") if self.query else ():
                key, _, value = part.partition("=")
                parameters.setdefault(_plain(key).lower(), _plain(value))
        return parameters.get(name.lower())

    def token(self) -> str | None:
        """The bearer token: of the `Authorization` header, or else of the parameter `access_token`.

        Browsers cannot set headers on WebSockets and event streams, so both forms are legal everywhere.
        """
        header = self.header(b"authorization")
        if header is not None:
            scheme, _, token = header.partition(b" ")
            if scheme.lower() == b"bearer":
                return token.strip().decode("latin-1")
        return self.parameter("access_token")

    def __repr__(self) -> str:
        return f"HubRequest({self.method} {self.path})"


def _plain(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text
