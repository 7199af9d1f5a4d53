"""Passwords of clients: Argon2id, off the event loop, at most two at a time (each takes 19 MiB)."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_PASSWORD_CHARACTERS = 256
_AT_ONCE = 2

# OWASP's least parameters for Argon2id.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class Passwords:
    """Hashes and checks passwords of one process."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._nobodys_hash: str | None = None

    async def hash(self, password: str) -> str:
        """Return the Argon2id hash in its usual text form, salt and parameters inside."""
        async with self._turns:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Return whether the password is the one; without a hash the answer is no, after the same time.

        So the time of an answer does not tell which user names exist.
        """
        if len(password) > MAX_PASSWORD_CHARACTERS:
            return False
        known = password_hash if password_hash is not None else await self._nobody()
        async with self._turns:
            fits = await asyncio.to_thread(_verify, known, password)
        return fits and password_hash is not None

    async def _nobody(self) -> str:
        if self._nobodys_hash is None:
            self._nobodys_hash = await self.hash("nobody has this password")
        return self._nobodys_hash


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
