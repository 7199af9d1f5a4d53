"""Which sites' pages may use a hub: CORS (Fetch standard), and WebSockets, which CORS leaves out."""

from __future__ import annotations

from urllib.parse import urlsplit

from stakewire.net.signalr.request import HeaderLines, HubRequest

_METHODS = b"GET, POST, DELETE"
_HEADERS = b"authorization, content-type, x-requested-with, x-signalr-user-agent"
_MAX_AGE = b"600"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Origins:
    """Judges the `Origin` of requests: absent (no browser), the hub's own site, or one of a list.

    A page of another site is refused, not only kept from reading the answer: a WebSocket upgrade has no
    such protection, and a POST has taken effect before its answer is withheld.
    """

    __slots__ = ("_allowed",)

    def __init__(self, allowed: frozenset[str] | None) -> None:
        """Take origins as browsers spell them ("https://example.com:8443"); None allows every one."""
        self._allowed = None if allowed is None else {origin.lower().encode() for origin in allowed}

    def headers(self, request: HubRequest) -> HeaderLines | None:
        """What every answer to this request has to say; None if its origin may not use the hub."""
        origin = request.header(b"origin")
        if origin is None:
            return ()
        if not self._allows(origin, request.header(b"host") or b""):
            return None
        # The exact origin and never "*", which browsers do not take together with credentials.
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
        )

    def _allows(self, origin: bytes, host: bytes) -> bool:
        lowered = origin.lower()
        return self._allowed is None or lowered in self._allowed or _same_site(lowered, host.lower())


def preflight(request: HubRequest) -> HeaderLines:
    """What the answer to an OPTIONS request adds: methods, and the headers asked for."""
    asked = request.header(b"access-control-request-headers")
    return (
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _HEADERS if asked is None else asked),
        (b"access-control-max-age", _MAX_AGE),
    )


def _same_site(origin: bytes, host: bytes) -> bool:
    """Whether the page came from the host it calls; a proxy may have ended TLS, so schemes do not count."""
    try:
        parts = urlsplit(origin.decode("ascii"))
    except ValueError:
        return False
    if not parts.netloc or not host:
        return False
    default = _DEFAULT_PORTS.get(parts.scheme, "")
    return parts.netloc.removesuffix(default) == host.decode("latin-1").removesuffix(default)
