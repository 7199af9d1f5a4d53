"""What the demo platform's site is told at start; the command line builds it from the settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from stakewire.errors import ConfigError
from stakewire.money import Currencies, parse_amount

MIN_SECRET_CHARACTERS = 16

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteConfig:
    """Settings of `stakewire serve site`. Times are seconds.

    Raises:
        ConfigError: something is missing or cannot work; says which setting to give.
    """

    sportsbook_url: str  # API_URL of the contract: http://127.0.0.1:8081
    sportsbook_username: str
    sportsbook_password: str = field(repr=False)
    wallet_url: str  # where the wallet's /admin/v1 answers: http://127.0.0.1:8082
    wallet_admin_token: str = field(repr=False)
    players: Mapping[str, str] = field(repr=False)  # log-ins of the demo: user id -> password
    session_secret: str = field(repr=False)  # signs the log-in cookie
    host: str = "127.0.0.1"
    port: int = 8080
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: Sequence[IpNetwork] = ()
    sportsbook_page_url: str = ""  # where the iframe lives, if not under `sportsbook_url`
    currency: str = "EUR"
    deposit: str = "50.00"  # what one press of "add play money" adds
    poll: float = 0.4  # between two looks at the wallet's history of a player who watches it
    max_pages: int = 500  # open pages of players who are logged in
    max_connections: int = 2_000
    stop_grace: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what cannot run, with one sentence that says what to do."""
        for name in (
            "sportsbook_url",
            "sportsbook_username",
            "sportsbook_password",
            "wallet_url",
            "wallet_admin_token",
        ):
            if not getattr(self, name):
                raise ConfigError(
                    f"the demo site needs STAKEWIRE_SITE_{name.upper()}; `stakewire up` sets it by itself"
                )
        if len(self.session_secret) < MIN_SECRET_CHARACTERS:
            raise ConfigError(
                f"STAKEWIRE_SITE_SESSION_SECRET needs at least {MIN_SECRET_CHARACTERS} characters"
            )
        if not self.players or not all(self.players.values()):
            raise ConfigError(
                "STAKEWIRE_SITE_PLAYERS needs at least one NAME=PASSWORD, and no empty password"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("--tls-cert and --tls-key must be given together")
        parse_amount(self.deposit, Currencies.default().get(self.currency))

    @property
    def frame_origin(self) -> str:
        """Origin of the sportsbook's page: the only one that the site may frame or listen to."""
        parts = urlsplit(self.sportsbook_page_url or self.sportsbook_url)
        return f"{parts.scheme}://{parts.netloc}"
