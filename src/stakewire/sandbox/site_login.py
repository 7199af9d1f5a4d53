"""Who is logged in: a signed cookie, so that the site keeps no table of sessions."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stakewire.clock import Clock

LIFETIME = timedelta(hours=12)
COOKIE = "stakewire_site"


@dataclass(frozen=True, slots=True)
class Login:
    """Who is logged in, and until when."""

    user: str
    expires_at: datetime


class Logins:
    """Checks passwords; makes and reads the cookie `<user in base64>.<expiry>.<hmac>`."""

    def __init__(self, players: Mapping[str, str], secret: str, clock: Clock) -> None:
        self._players = {user: password.encode() for user, password in players.items()}
        self._key = hashlib.sha256(b"stakewire site login\0" + secret.encode()).digest()
        self._clock = clock

    def check(self, user: str, password: str) -> bool:
        """Whether this is the player's password; takes as long for a player who does not exist."""
        expected = self._players.get(user)
        same = hmac.compare_digest(_digest(password.encode()), _digest(expected or b""))
        return same and expected is not None

    def issue(self, user: str) -> str:
        """A cookie value that says `user` is logged in, for `LIFETIME` from now."""
        expires = int((self._clock.now() + LIFETIME).timestamp())
        said = f"{base64.urlsafe_b64encode(user.encode()).decode()}.{expires}"
        return f"{said}.{self._sign(said)}"

    def read(self, cookie: str | None) -> Login | None:
        """The log-in that the cookie proves; None when it is not ours, is over, or names nobody we know."""
        said, _, signature = (cookie or "").rpartition(".")
        if not said or not hmac.compare_digest(
            self._sign(said).encode(), signature.encode("utf-8", "replace")
        ):
            return None
        name, _, expires = said.partition(".")
        try:
            user = base64.urlsafe_b64decode(name).decode()
            expires_at = datetime.fromtimestamp(int(expires), UTC)
        except (binascii.Error, UnicodeDecodeError, ValueError, OverflowError):
            return None
        return Login(user, expires_at) if expires_at > self._clock.now() and user in self._players else None

    def _sign(self, said: str) -> str:
        return hmac.new(self._key, said.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def cookie_name(scheme: str, port: int | None) -> str:
    """Behind https no other host can have set it. Cookies do not know ports, so the name does."""
    return f"__Host-{COOKIE}" if scheme == "https" else f"{COOKIE}_{port or 80}"


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()
