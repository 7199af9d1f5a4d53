"""Who is at the other end: principals, and tokens signed elsewhere (JWT, RFC 7519).

A hub asks its authenticator on every request: negotiation, upgrade, event stream, each poll and POST. The
later ones must name the same user as the first. No text here holds a token or a part of one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from joserfc import jwt
from joserfc.errors import ExpiredTokenError
from joserfc.jwk import Key, KeySet, OctKey
from joserfc.jws import JWSRegistry

from stakewire.clock import Clock
from stakewire.errors import ConfigError, Unauthorized
from stakewire.net.signalr.request import HubRequest


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a connection belongs to.

    Attributes:
        user_id: None for an anonymous client; messages to a user go to all connections of this id.
        claims: what the token said, for authorisation.
        expires_at: aware; from then on the connection is closed, with allowReconnect. None for never.
    """

    user_id: str | None
    claims: Mapping[str, object] = field(default_factory=dict)
    expires_at: datetime | None = None


ANONYMOUS = Principal(None)

Authenticate = Callable[[HubRequest], Principal | Awaitable[Principal]]
"""Says whom a request comes from, at once or later; raises Unauthorized, whose text the client may see."""


def anonymous(request: HubRequest) -> Principal:
    """The authenticator of a hub that is open to everybody."""
    return ANONYMOUS


class JwtAuthenticator:
    """Takes JSON Web Tokens from the `Authorization` header or the parameter `access_token`.

    The algorithms are those named here and never the token's choice: `none` is not among them, and a
    public key can never serve as an HMAC secret, since HMAC takes secret keys only (RFC 8725 section 3.1).
    A token has to have `exp`. Verified tokens are remembered by their hash, so that the second request of
    a connection costs no second signature; expiry is judged anew each time.
    """

    def __init__(
        self,
        keys: Key | KeySet | Callable[[], Key | KeySet],
        *,
        algorithms: Collection[str],
        clock: Clock,
        issuer: str | None = None,
        audience: str | None = None,
        user_claim: str = "sub",
        remembered: int = 16_384,
    ) -> None:
        """Check the keys against the algorithms.

        Args:
            keys: a key, a set of keys that tokens choose from by `kid`, or a function giving the current
                one of either; when it gives another object, what is remembered is forgotten.
            algorithms: the JWS names that are accepted, all of one family.
            issuer, audience: required values of `iss` and `aud`; not looked at when None.
            user_claim: the claim that names the user; it must be there, as text.
            remembered: verified tokens kept, oldest dropped first.

        Raises:
            ConfigError: no, unknown or mixed algorithms, or keys that do not fit them.
        """
        self._algorithms = sorted(algorithms)
        self._symmetric = _family(self._algorithms)
        self._current = keys if callable(keys) else lambda: keys
        self._clock = clock
        self._user_claim = user_claim
        wanted: dict[str, jwt.ClaimsOption] = {"exp": {"essential": True}, user_claim: {"essential": True}}
        if issuer is not None:
            wanted["iss"] = {"essential": True, "value": issuer}
        if audience is not None:
            wanted["aud"] = {"essential": True, "value": audience}
        self._claims = jwt.JWTClaimsRegistry(self._seconds, 0, **wanted)
        self._jws = JWSRegistry(algorithms=self._algorithms)
        self._room = remembered
        self._remembered: dict[bytes, Principal] = {}
        self._keys = self._checked(self._current())

    def __call__(self, request: HubRequest) -> Principal:
        """The principal of the request's token.

        Raises:
            Unauthorized: there is none, or it is not one of ours, or its time is over or has not come.
        """
        token = request.token()
        if not token:
            raise Unauthorized("a token is required, in `Authorization: Bearer` or in access_token")
        keys = self._current()
        if keys is not self._keys:
            self._keys = self._checked(keys)
            self._remembered.clear()
        mark = sha256(token.encode("utf-8", "surrogateescape")).digest()
        principal = self._remembered.get(mark)
        if principal is None:
            principal = self._verify(token)
            if len(self._remembered) >= self._room:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[mark] = principal
        assert principal.expires_at is not None
        if principal.expires_at <= self._clock.now():
            self._remembered.pop(mark, None)
            raise Unauthorized("the token has expired")
        return principal

    def _verify(self, token: str) -> Principal:
        try:
            if token.count(".") != 2:
                raise ValueError("not a signed token")
            claims = jwt.decode(token, self._keys, self._algorithms, self._jws).claims
            self._claims.validate(claims)
            user_id, expires = claims[self._user_claim], claims["exp"]
            if not isinstance(user_id, str) or not user_id:
                raise ValueError("the user's claim is not a text")
            return Principal(user_id, claims, datetime.fromtimestamp(expires, UTC))
        except ExpiredTokenError:
            raise Unauthorized("the token has expired") from None
        except Exception:
            # Whatever else a hostile token provokes in a decoder: it is refused, and nothing of it is told.
            raise Unauthorized("the token is not valid here") from None

    def _checked(self, keys: Key | KeySet) -> Key | KeySet:
        for key in keys.keys if isinstance(keys, KeySet) else [keys]:
            if isinstance(key, OctKey) != self._symmetric:
                raise ConfigError(f"a key of type {key.key_type} does not fit {', '.join(self._algorithms)}")
        return keys

    def _seconds(self) -> int:
        return int(self._clock.now().timestamp())


def _family(algorithms: list[str]) -> bool:
    """Whether these are HMAC algorithms; mixed with others, a token could choose how a key is used."""
    unknown = [name for name in algorithms if name not in _ALGORITHMS]
    if unknown or not algorithms:
        raise ConfigError(f"algorithms of tokens are some of {', '.join(sorted(_ALGORITHMS))}")
    symmetric = {name in _HMAC for name in algorithms}
    if len(symmetric) > 1:
        raise ConfigError("tokens are signed with a secret (HS...) or with a key pair, not with either")
    return symmetric.pop()


_HMAC = frozenset({"HS256", "HS384", "HS512"})
_ALGORITHMS = _HMAC | {
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
}
