"""The operators that may send callbacks: kept in memory for the hot path, changed through the database.

The directory is a snapshot of the operator tables. A worker replaces it every second, and before it
answers INVALID_SIGNATURE, so that a secret made in another process works everywhere at once and a
retired one ends within a second. Secrets are sealed in the database and open only in memory.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from stakewire.clock import Clock
from stakewire.errors import InvalidInput, NotFound
from stakewire.ids import Tokens
from stakewire.postgres.wallet.operators import OperatorRow, OperatorTable
from stakewire.wire.sportsbook.profile import Profile
from stakewire.wire.sportsbook.signing import Secret

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
MIN_HASH_CHARACTERS = 16
MAX_HASH_CHARACTERS = 256
HASH_BYTES = 32
MAX_LIVE_SECRETS = 4  # each live secret costs a HMAC on every wrongly signed request
OLD_SECRET_LIFE = timedelta(days=7)
CASHIER = "cashier"  # the wallet's own operator, id 1: deposits and withdrawals; it has no secrets


class SecretVault(Protocol):
    """Seals texts for the database (`postgres.crypto.Vault`)."""

    def seal(self, plaintext: str, aad: str) -> bytes:
        """Encrypt; `aad` binds the result to its place."""

    def open(self, sealed: bytes, aad: str) -> str:
        """Decrypt; raises when the key or the place is another."""


@dataclass(frozen=True, slots=True)
class LiveOperator:
    """An operator ready for the hot path: parsed profile, prepared HMAC keys (newest first)."""

    operator_id: int
    name: str
    profile: Profile
    secrets: tuple[Secret, ...]
    secret_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MadeKey:
    """What rotation or creation gave; `security_hash` is shown this once."""

    name: str
    security_hash: str | None
    retired: int


def callback_path(name: str) -> str:
    """The path that an operator's callback URL ends in."""
    return f"/callbacks/{name}"


def secret_place(name: str, secret_id: int) -> str:
    """The associated data of a sealed secret: a row copied to another operator does not open."""
    return f"wallet.operator_secret/{name}/{secret_id}"


def check_name(name: str) -> str:
    """Return `name` if it can be part of a URL. Raises InvalidInput."""
    if not NAME.fullmatch(name) or name == CASHIER:
        raise InvalidInput(
            f"operator name {name!r} is not usable: 1 to 63 of a-z, 0-9 and inner '-'; {CASHIER!r} is taken"
        )
    return name


def check_hash(security_hash: str) -> str:
    """Return a security hash set by hand if it is long enough. Raises InvalidInput, without repeating it."""
    if not MIN_HASH_CHARACTERS <= len(security_hash) <= MAX_HASH_CHARACTERS:
        raise InvalidInput(f"a security hash has {MIN_HASH_CHARACTERS} to {MAX_HASH_CHARACTERS} characters")
    if any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in security_hash):
        raise InvalidInput("a security hash holds no control characters")
    try:
        security_hash.encode()
    except UnicodeEncodeError:
        raise InvalidInput("a security hash must be valid Unicode") from None
    return security_hash


class OperatorDesk:
    """Admin acts on operators."""

    def __init__(self, table: OperatorTable, vault: SecretVault, clock: Clock, tokens: Tokens) -> None:
        self._table = table
        self._vault = vault
        self._clock = clock
        self._tokens = tokens

    async def add(
        self, name: str, *, security_hash: str | None = None, profile: Profile | None = None
    ) -> MadeKey:
        """Make an operator. Raises InvalidInput (name or hash), Conflict (name taken)."""
        check_name(name)
        chosen = self._choose(security_hash)
        await self._table.add(name, profile or Profile(), self._clock.now(), self._sealer(name, chosen))
        return MadeKey(name, chosen, 0)

    async def rotate(
        self, name: str, *, security_hash: str | None = None, retire_old: bool = False
    ) -> MadeKey:
        """Add a secret beside the old one (which lives 7 more days), or end the old ones.

        With `retire_old` and no `security_hash`, after an earlier rotation: only the old secrets end,
        for the operator already has the newest. Without an earlier rotation, or with a `security_hash`,
        the new secret replaces all others at once.

        Raises:
            NotFound: no such operator.
            InvalidInput: the hash is too short.
            Conflict: 4 secrets are live; retire old ones first.
        """
        if retire_old and security_hash is None:
            ended = await self._table.retire_all_but_newest(name, self._clock.now())
            if ended:
                return MadeKey(name, None, ended)
        chosen = self._choose(security_hash)
        now = self._clock.now()
        ended = await self._table.add_secret(
            name,
            now,
            self._sealer(name, chosen),
            retire_others_at=now if retire_old else now + OLD_SECRET_LIFE,
            max_live=MAX_LIVE_SECRETS,
        )
        return MadeKey(name, chosen, ended)

    async def set_profile(self, name: str, profile: Profile) -> OperatorRow:
        """Replace an operator's profile: keys left out have their defaults again.

        Returns what is in force; running workers take it over by their next reload. Raises NotFound.
        """
        await self._table.set_profile(name, profile)
        return await self.one(name)

    async def all(self) -> Sequence[OperatorRow]:
        """Every operator, by name."""
        return await self._table.load()

    async def one(self, name: str) -> OperatorRow:
        """One operator. Raises NotFound."""
        for row in await self._table.load():
            if row.name == name:
                return row
        raise NotFound(f"no operator {name!r}; `stakewire wallet operator list` shows them")

    def _choose(self, security_hash: str | None) -> str:
        return self._tokens.token(HASH_BYTES) if security_hash is None else check_hash(security_hash)

    def _sealer(self, name: str, security_hash: str) -> Callable[[int], bytes]:
        return lambda secret_id: self._vault.seal(security_hash, secret_place(name, secret_id))


class OperatorDirectory:
    """The operators as this process knows them. `on_change` is called with the new ones after each reload."""

    def __init__(self, table: OperatorTable, vault: SecretVault, clock: Clock, *, refresh_gap: float) -> None:
        self._table = table
        self._vault = vault
        self._clock = clock
        self._refresh_gap = refresh_gap
        self._live: dict[str, LiveOperator] = {}
        self._opened: dict[int, Secret] = {}
        self._used: dict[int, str] = {}
        self._turn = asyncio.Lock()
        self._coming: asyncio.Task[None] | None = None  # a reload that has not begun to read
        self._last_start = float("-inf")
        self.on_change: Callable[[dict[str, LiveOperator]], None] = lambda live: None

    def find(self, name: str) -> LiveOperator | None:
        """The operator of that name, from memory."""
        return self._live.get(name)

    async def reload(self) -> None:
        """Read the tables now. Raises what the database raises; the old snapshot then stays."""
        now = self._clock.now()
        rows = await self._table.load()
        opened: dict[int, Secret] = {}
        self._live = {row.name: self._open(row, now, opened) for row in rows}
        self._opened = opened  # secrets that ended are forgotten
        self.on_change(self._live)

    async def refresh(self) -> None:
        """Wait for a reload that starts after this call; callers share reloads, one each `refresh_gap`."""
        if self._coming is None:
            self._coming = asyncio.create_task(self._reload_in_turn())
        await asyncio.shield(self._coming)

    async def _reload_in_turn(self) -> None:
        async with self._turn:
            wait = self._last_start + self._refresh_gap - self._clock.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            self._coming = None  # whoever asks from here on needs a later reload
            self._last_start = self._clock.monotonic()
            await self.reload()

    def note_use(self, secret_id: int, header: str) -> None:
        """Remember that a request was signed with this secret under this header; see `flush_uses`."""
        self._used[secret_id] = header

    async def flush_uses(self) -> None:
        """Write `last_used_at` and `last_header` of the secrets used since the last call."""
        if self._used:
            used, self._used = self._used, {}
            await self._table.note_uses(used, self._clock.now())

    def _open(self, row: OperatorRow, now: datetime, opened: dict[int, Secret]) -> LiveOperator:
        live = [secret for secret in reversed(row.secrets) if secret.is_live(now)]
        for secret in live:
            kept = self._opened.get(secret.secret_id)
            opened[secret.secret_id] = kept or Secret(
                self._vault.open(secret.sealed, secret_place(row.name, secret.secret_id))
            )
        return LiveOperator(
            row.operator_id,
            row.name,
            row.profile,
            tuple(opened[secret.secret_id] for secret in live),
            tuple(secret.secret_id for secret in live),
        )
