"""Ids: the slot of a player, ids of our own, and random tokens."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Final, Protocol

from stakewire.errors import Unavailable

SLOTS: Final = 1024
_COUNTER_BITS: Final = 40
_WRITERS: Final = 1 << (63 - _COUNTER_BITS)


def slot_of(user_id: str) -> int:
    """The slot (0 to 1023) that all rows of this player live in.

    Frozen: the first 8 bytes of SHA-256 of the name in UTF-8, big-endian, mod 1,024. Neither operator nor
    currency is in it, because all operators share the player's balance.
    """
    return int.from_bytes(sha256(user_id.encode()).digest()[:8], "big") % SLOTS


class OwnIds:
    """Ids made without asking the database: a leased writer number, then a counter.

    `writer << 40 | counter` fits PostgreSQL's bigint. A writer number is leased once per start of a process
    and never used again, so ids are unique across processes and restarts.
    """

    __slots__ = ("_last", "_next")

    def __init__(self, writer: int) -> None:
        """Take a leased writer number, 1 to 8,388,607.

        Raises:
            ValueError: `writer` is outside that range.
        """
        if not 0 < writer < _WRITERS:
            raise ValueError(f"writer number {writer} is not between 1 and {_WRITERS - 1}")
        self._next = writer << _COUNTER_BITS
        self._last = self._next | ((1 << _COUNTER_BITS) - 1)

    def next(self) -> int:
        """The next id.

        Raises:
            Unavailable: all 2**40 ids of this writer are used; a restart leases a new number.
        """
        own_id = self._next
        if own_id > self._last:
            raise Unavailable(
                "this process has used all ids of its writer number; restart it", code="IDS_EXHAUSTED"
            )
        self._next = own_id + 1
        return own_id


class Tokens(Protocol):
    """Where secrets come from. `stakewire.testing.SeededTokens` is the twin for tests."""

    def token(self, nbytes: int) -> str:
        """URL-safe text holding `nbytes` random bytes (base64url without padding)."""
        ...


class SystemTokens:
    """Tokens from the operating system's random source."""

    __slots__ = ()

    def token(self, nbytes: int) -> str:
        """See `Tokens.token`."""
        return secrets.token_urlsafe(nbytes)
