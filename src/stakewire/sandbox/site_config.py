"""What the demo platform's site needs to know, read once by `settings` and passed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stakewire.errors import ConfigError
from stakewire.money import Currencies


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteConfig:
    """Settings of one demo site.

    Raises:
        ConfigError: a secret is missing, the demo has no player, or the currency is unknown.
    """

    sportsbook_url: str  # API_URL of the contract, without the version: http://127.0.0.1:8081
    sportsbook_username: str
    sportsbook_password: str = field(repr=False)
    wallet_url: str  # where /admin/v1 answers: http://127.0.0.1:8082
    wallet_admin_token: str = field(repr=False)
    players: Mapping[str, str] = field(repr=False)  # demo login: user id -> password
    session_secret: str = field(repr=False)  # signs the login cookie; 16 characters at least
    currency: str = "EUR"
    deposit: str = "50.00"  # what one press of "add play money" adds
    secure_cookie: bool = False  # True behind https: cookie gets Secure and the __Host- prefix

    def __post_init__(self) -> None:
        for name in ("sportsbook_url", "sportsbook_username", "sportsbook_password", "wallet_url", "wallet_admin_token"):
            if not getattr(self, name):
                raise ConfigError(f"the demo site needs {name}: set STAKEWIRE_SITE_{name.upper()}")
        if len(self.session_secret) < 16:
            raise ConfigError("the demo site's session secret is shorter than 16 characters")
        if not self.players or not all(self.players.values()):
            raise ConfigError("the demo site needs at least one player, each with a password")
        if Currencies.default().find(self.currency) is None:
            raise ConfigError(f"the demo site's currency {self.currency!r} is not a known currency")
