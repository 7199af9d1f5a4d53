"""The people who integrate us: adding them, changing them, and what is told to them once.

A client's password is only kept as its hash, its security hash only sealed: both are shown when they
are made, and never again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from stakewire.clock import Clock
from stakewire.errors import Conflict, InvalidInput, NotFound
from stakewire.ids import Tokens
from stakewire.money import Currencies
from stakewire.postgres.crypto import Vault
from stakewire.postgres.sportsbook import clients as store
from stakewire.postgres.sportsbook import sessions
from stakewire.postgres.sportsbook.clients import ClientChange, ClientRow, NewClient
from stakewire.sportsbook.passwords import Passwords
from stakewire.wire.sportsbook.profile import Profile

MIN_SECURITY_HASH_CHARACTERS = 16
_MAX_SECURITY_HASH_CHARACTERS = 256
_SECRET_BYTES = 32
_MAX_ORIGINS = 32
_MAX_CURRENCIES = 256
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class UrlCheck(Protocol):
    """Looks at where a callback URL leads (`net.egress.EgressGuard`)."""

    async def check(self, url: str) -> object:
        """Raises Refused for private and special addresses that nobody allowed."""
        ...


@dataclass(frozen=True, slots=True)
class NewCredentials:
    """What a client is told, once. A field is None when it was not changed."""

    name: str
    username: str
    password: str | None
    security_hash: str | None


class Clients:
    """Admin acts on clients; every one is kept in `admin_act`, without its secrets."""

    def __init__(
        self,
        pool: Any,
        *,
        vault: Vault,
        urls: UrlCheck,
        currencies: Currencies,
        tokens: Tokens,
        clock: Clock,
        passwords: Passwords,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._urls = urls
        self._currencies = currencies
        self._tokens = tokens
        self._clock = clock
        self._passwords = passwords

    async def add(
        self,
        name: str,
        *,
        callback_url: str,
        origins: Sequence[str] = (),
        currencies: Sequence[str] = ("EUR",),
        profile: str = "",
        security_hash: str | None = None,
    ) -> NewCredentials:
        """Add a client and make its credentials; the user name is its name.

        Raises:
            InvalidInput: the name, the callback URL, an origin, a currency, the profile or the security hash
                is wrong.
            Refused: the callback URL leads where callbacks may not go.
            Conflict: the name is taken.
        """
        _check_name(name)
        await self._check(callback_url, currencies, profile)
        secret = self._secret(security_hash)
        password = self._tokens.token(_SECRET_BYTES)
        new = NewClient(
            name=name,
            username=name,
            password_hash=await self._passwords.hash(password),
            callback_url=callback_url,
            origins=check_origins(origins),
            currencies=_distinct(currencies),
            profile=profile,
        )
        now = self._clock.now()
        async with self._pool.acquire() as conn, conn.transaction():
            client_id = await store.add_client(conn, new, now)
            sealed = self._vault.seal(secret, secret_name(name))
            await store.add_secret(conn, client_id, sealed, signs_from=now, now=now)
            await store.record_act(conn, "client.add", name, {"callback_url": callback_url}, now)
        return NewCredentials(name, new.username, password, secret)

    async def rotate(
        self,
        name: str,
        *,
        security_hash: str | None = None,
        signs_in: timedelta = timedelta(0),
        new_password: bool = False,
    ) -> NewCredentials:
        """Make a new security hash (and password); it signs after `signs_in`, until then the old one does.

        The client's wallet should know the new hash before it signs: either give it there first and
        here then, or give the client time with `signs_in`.

        Raises:
            NotFound: there is no such client.
            InvalidInput: the security hash is too short, or the wait is negative.
        """
        if signs_in < timedelta(0):
            raise InvalidInput("the wait before a new security hash signs cannot be negative")
        client = await self.get(name)
        secret = self._secret(security_hash)
        password = self._tokens.token(_SECRET_BYTES) if new_password else None
        password_hash = None if password is None else await self._passwords.hash(password)
        now = self._clock.now()
        async with self._pool.acquire() as conn, conn.transaction():
            sealed = self._vault.seal(secret, secret_name(name))
            await store.add_secret(conn, client.id, sealed, signs_from=now + signs_in, now=now)
            if password_hash is not None:
                await store.set_client(conn, client.id, ClientChange(password_hash=password_hash), now)
                await sessions.drop_access(conn, client.id, sessions=False)
            detail = {"signs_from": (now + signs_in).isoformat(), "password": new_password}
            await store.record_act(conn, "client.rotate", name, detail, now)
        return NewCredentials(name, client.username, password, secret)

    async def set(
        self,
        name: str,
        *,
        callback_url: str | None = None,
        origins: Sequence[str] | None = None,
        currencies: Sequence[str] | None = None,
        profile: str | None = None,
    ) -> ClientRow:
        """Change what is given and leave the rest.

        Raises:
            NotFound, InvalidInput, Refused: as for `add`.
        """
        client = await self.get(name)
        await self._check(callback_url, currencies, profile)
        change = ClientChange(
            callback_url=callback_url,
            origins=None if origins is None else check_origins(origins),
            currencies=None if currencies is None else _distinct(currencies),
            profile=profile,
        )
        return await self._change(client, change, "client.set", {"callback_url": callback_url})

    async def set_enabled(self, name: str, enabled: bool) -> ClientRow:
        """Disable a client (no sessions, no bets; results and rollbacks still go out), or enable it again.

        Raises:
            NotFound: there is no such client.
            Conflict: it is in that state already.
        """
        client = await self.get(name)
        state = "active" if enabled else "disabled"
        if client.state == state:
            raise Conflict(f"client {name} is {state} already", code="NOTHING_TO_CHANGE")
        return await self._change(client, ClientChange(state=state), f"client.{state}", {})

    async def list(self) -> list[ClientRow]:
        async with self._pool.acquire() as conn:
            return await store.list_clients(conn, self._clock.now())

    async def get(self, name: str) -> ClientRow:
        """Raises: NotFound: there is no client of this name."""
        for client in await self.list():
            if client.name == name:
                return client
        raise NotFound(f"there is no client named {name!r}; see `stakewire sportsbook client list`")

    async def api_url(self) -> str | None:
        """Where the sportsbook that started last is reached; None before the first start."""
        async with self._pool.acquire() as conn:
            return await store.public_url(conn)

    async def _change(
        self, client: ClientRow, change: ClientChange, act: str, detail: dict[str, object]
    ) -> ClientRow:
        now = self._clock.now()
        async with self._pool.acquire() as conn, conn.transaction():
            await store.set_client(conn, client.id, change, now)
            if change.state == "disabled":
                await sessions.drop_access(conn, client.id, sessions=True)
            await store.record_act(conn, act, client.name, detail, now)
        return await self.get(client.name)

    async def _check(
        self, callback_url: str | None, currencies: Sequence[str] | None, profile: str | None
    ) -> None:
        if profile is not None:
            Profile.from_toml(profile)
        if currencies is not None:
            if not 1 <= len(currencies) <= _MAX_CURRENCIES:
                raise InvalidInput("a client has at least one currency; add --currency EUR")
            for code in currencies:
                self._currencies.get(code)
        if callback_url is not None:
            if "?" in callback_url or "#" in callback_url:
                raise InvalidInput(
                    "a callback URL has no query and no fragment: /transaction and /transaction-rollback "
                    "are put at its end"
                )
            await self._urls.check(callback_url)

    def _secret(self, chosen: str | None) -> str:
        if chosen is None:
            return self._tokens.token(_SECRET_BYTES)
        if not MIN_SECURITY_HASH_CHARACTERS <= len(chosen) <= _MAX_SECURITY_HASH_CHARACTERS:
            raise InvalidInput(
                f"a security hash has {MIN_SECURITY_HASH_CHARACTERS} to {_MAX_SECURITY_HASH_CHARACTERS} "
                "characters; leave it out and a strong one is made"
            )
        if not chosen.isprintable() or chosen != chosen.strip():
            raise InvalidInput("a security hash is printable and has no space at its ends")
        return chosen


def secret_name(client_name: str) -> str:
    """What a client's security hash is sealed with: moved to another client's row, it does not open."""
    return f"sportsbook client {client_name} security hash"


def check_origins(origins: Sequence[str]) -> list[str]:
    """Bring site origins into the form browsers send: lower case, no slash, no default port.

    Raises:
        InvalidInput: not like `https://casino.example`, or too many.
    """
    if len(origins) > _MAX_ORIGINS:
        raise InvalidInput(f"a client has at most {_MAX_ORIGINS} origins")
    return _distinct([_origin(origin) for origin in origins])


def _origin(text: str) -> str:
    origin = text.strip().lower().rstrip("/")
    if not _ORIGIN.fullmatch(origin):
        raise InvalidInput(f"an origin is like https://casino.example, without a path; not {text!r}")
    scheme = origin.partition(":")[0]
    return origin.removesuffix(_DEFAULT_PORTS[scheme])


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"a client's name is 1 to 63 of A-Z a-z 0-9 . _ - (it stands in addresses), not {name!r}"
        )


def _distinct(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))
