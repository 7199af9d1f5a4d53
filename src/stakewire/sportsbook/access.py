"""Who may come in: API tokens for clients, launch tokens and sessions for their players (contract section 2).

All of them are random texts of 256 bits of which only the SHA-256 is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from stakewire.clock import Clock
from stakewire.errors import Refused, StakewireError, Unauthorized
from stakewire.ids import Tokens
from stakewire.net.ratelimit import RateLimiter
from stakewire.postgres.sportsbook import clients as client_store
from stakewire.postgres.sportsbook import sessions as store
from stakewire.postgres.sportsbook.sessions import Visit
from stakewire.sportsbook.config import SportsbookConfig
from stakewire.sportsbook.directory import Client, ClientDirectory
from stakewire.sportsbook.passwords import Passwords

LANGUAGES = ("en", "ar")
_TOKEN_BYTES = 32


class InvalidCredentials(Unauthorized):
    """No client has this user name and password."""

    default_code = "INVALID_CREDENTIALS"


class InvalidToken(Unauthorized):
    """The token is missing, unknown, expired or used."""

    default_code = "INVALID_TOKEN"


class TooManyRequests(StakewireError):
    """Slow down; `retry_after` seconds."""

    default_code = "TOO_MANY_REQUESTS"
    exit_code = 6
    http_status = 429
    retryable = True

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(Refused):
    """The caller is known and may not do this."""

    default_code = "FORBIDDEN"
    http_status = 403


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A client's token and the whole seconds it is still good for."""

    token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class PageSession:
    """A player in front of the page."""

    visit: Visit
    client: Client
    expires_at: datetime


class Access:
    """Gives out and checks tokens."""

    def __init__(
        self,
        pool: Any,
        directory: ClientDirectory,
        *,
        config: SportsbookConfig,
        tokens: Tokens,
        clock: Clock,
        passwords: Passwords,
    ) -> None:
        self._pool = pool
        self._directory = directory
        self._config = config
        self._tokens = tokens
        self._clock = clock
        self._passwords = passwords
        self._wrong_passwords = RateLimiter(
            per_minute=config.auth_attempts_per_minute, burst=config.auth_attempts_per_minute, clock=clock
        )
        self._sessions = RateLimiter(
            per_minute=config.sessions_per_minute, burst=config.sessions_per_minute, clock=clock
        )

    async def authenticate(self, username: str, password: str, peer: str) -> ApiToken:
        """Exchange a client's password for a token.

        Wrong passwords are limited by address alone: passwords are 256 random bits of ours, which
        nobody guesses, while a limit by user name would let anybody lock a client out.

        Raises:
            TooManyRequests: too many wrong passwords lately from this address.
            InvalidCredentials: wrong; it does not say what.
            Forbidden: right, but the client is disabled.
        """
        self._check_attempts(peer)
        known = await client_store.find_credentials(self._pool, username) if _storable(username) else None
        right = await self._passwords.matches(password, known.password_hash if known else None)
        self._check_attempts(peer)  # again: many may have been waiting for their turn at once
        if known is None or not right:
            self._wrong_passwords.allow(peer)
            raise InvalidCredentials("no client has this user name and password")
        if not known.active:
            raise Forbidden("this client is disabled; ask the sportsbook's operator")
        lifetime = self._config.api_token_lifetime
        token = self._tokens.token(_TOKEN_BYTES)
        await store.add_api_token(self._pool, _hash(token), known.client_id, self._clock.now() + lifetime)
        return ApiToken(token, int(lifetime.total_seconds()))

    async def client_of(self, token: str) -> Client:
        """The client whose API token this is.

        Raises:
            InvalidToken: unknown or expired; authenticate again.
        """
        client_id = await store.find_api_token(self._pool, _hash(token), self._clock.now())
        client = None if client_id is None else await self._client(client_id)
        if client is None or not client.active:
            raise InvalidToken("the token is unknown or has expired; get a new one by auth")
        return client

    async def start_session(self, client: Client, *, user_id: str, currency: str, lang: str | None) -> str:
        """Make a launch token for a player: one use, 60 seconds.

        Raises:
            Forbidden: the client has no players in this currency.
            TooManyRequests: the client opens more sessions than it may.
        """
        if not self._sessions.allow(client.name):
            wait = self._sessions.retry_after_seconds(client.name)
            raise TooManyRequests(f"too many sessions; try again in {wait} s", wait)
        if currency not in client.currencies:
            raise Forbidden(
                f"client {client.name} takes {', '.join(client.currencies)}, not {currency[:12]!r}",
                code="CURRENCY_NOT_ALLOWED",
            )
        token = self._tokens.token(_TOKEN_BYTES)
        visit = Visit(client.id, user_id, currency, known_language(lang))
        expires_at = self._clock.now() + self._config.launch_token_lifetime
        await store.add_launch_token(self._pool, _hash(token), visit, expires_at)
        return token

    async def launch(self, launch_token: str) -> tuple[str, PageSession]:
        """Exchange a launch token for the token of a new session, once.

        Raises:
            InvalidToken: unknown, used or expired; the player opens the page again from the site.
        """
        now = self._clock.now()
        token = self._tokens.token(_TOKEN_BYTES)
        expires_at = now + self._config.session_lifetime
        async with self._pool.acquire() as conn, conn.transaction():
            visit = await store.use_launch_token(conn, _hash(launch_token), now)
            if visit is not None:
                await store.add_page_session(conn, _hash(token), visit, started_at=now, expires_at=expires_at)
        client = None if visit is None else await self._client(visit.client_id)
        if visit is None or client is None or not client.active:
            raise InvalidToken("this link was used before or is too old; open the page again from the site")
        return token, PageSession(visit, client, expires_at)

    async def session_of(self, token: str) -> PageSession:
        """The player whose session this is.

        Raises:
            InvalidToken: unknown or over (12 hours).
        """
        found = await store.find_page_session(self._pool, _hash(token), self._clock.now())
        client = None if found is None else await self._client(found[0].client_id)
        if found is None or client is None or not client.active:
            raise InvalidToken("the session is over; open the page again from the site")
        return PageSession(found[0], client, found[1])

    async def drop_expired(self, *, limit: int = 1_000) -> None:
        """Delete tokens and sessions nobody can use any more."""
        await store.drop_expired(self._pool, self._clock.now(), limit=limit)

    def _check_attempts(self, peer: str) -> None:
        if self._wrong_passwords.exhausted(peer):
            wait = self._wrong_passwords.retry_after_seconds(peer)
            raise TooManyRequests(f"too many wrong passwords from your address; try again in {wait} s", wait)

    async def _client(self, client_id: int) -> Client | None:
        await self._directory.target(client_id)  # one that was added a moment ago is not in memory yet
        return self._directory.get(client_id)


def known_language(lang: str | None) -> str:
    """The page's language for a code such as `ar`, `ar-EG` or `AR_eg`; English for all others."""
    primary = (lang or "").replace("_", "-").partition("-")[0].lower()
    return primary if primary in LANGUAGES else LANGUAGES[0]


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _storable(text: str) -> bool:
    return len(text) <= 128 and "\0" not in text and text.isprintable()
