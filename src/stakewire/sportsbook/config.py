"""What one sportsbook process is told at start. `settings.py` builds it; the environment is not read here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from stakewire.errors import ConfigError

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

API_VERSION = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SportsbookConfig:
    """Settings of `stakewire serve sportsbook`. Times are seconds unless they are a `timedelta`.

    Raises:
        ConfigError: a value would lose money, open a door, or cannot work.
    """

    database_url: str
    data_dir: Path  # holds `master.key` when `master_key` is not given
    master_key: str | None = None  # base64 of 32 bytes; seals the clients' security hashes
    host: str = "127.0.0.1"
    port: int = 8081
    public_url: str | None = None  # what players' browsers and clients reach us under; else host and port
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: Sequence[IpNetwork] = ()
    egress_allow: Sequence[IpNetwork] = ()  # private networks that callbacks may go to
    extra_currencies: Mapping[str, int] = field(default_factory=dict)  # code -> decimals
    simulate: bool = False
    simulated_interval: timedelta = timedelta(seconds=90)  # from one simulated kick-off to the next
    simulated_duration: timedelta = timedelta(minutes=3)  # from kick-off to the result
    api_token_lifetime: timedelta = timedelta(hours=1)
    launch_token_lifetime: timedelta = timedelta(seconds=60)
    session_lifetime: timedelta = timedelta(hours=12)
    auth_attempts_per_minute: int = 20  # wrong passwords, per address
    sessions_per_minute: int = 6_000  # per client
    bets_per_minute: int = 60  # per player
    bets_in_flight: int = 256  # bets of one client waiting for their stake's answer; more are turned away
    max_payout: int = 1_000_000  # whole units of a currency that one bet may pay
    settlement_chunk: int = 1_000  # bets per transaction
    callback_concurrency: int = 64  # callbacks in flight per client
    max_connections: int = 10_000
    max_pages: int = 2_000  # open pages of one process
    pool_size: int = 10
    stop_grace: float = 10.0  # requests in flight are answered within this time at shutdown

    def __post_init__(self) -> None:
        """Refuse what cannot run, with one sentence that says what to do."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("--tls-cert and --tls-key must be given together")
        if self.public_url is not None:
            _check_public_url(self.public_url)
        for name in (
            "auth_attempts_per_minute",
            "sessions_per_minute",
            "bets_per_minute",
            "bets_in_flight",
            "settlement_chunk",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1")

    def api_url(self, port: int | None = None) -> str:
        """The address that clients are given, without the API version and without a slash at the end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        scheme = "https" if self.tls_cert is not None else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port if port is None else port}"


def _check_public_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"the sportsbook's public URL must be like https://bets.example.com, not {url!r}")
    if parts.path not in ("", "/"):
        raise ConfigError(f"the sportsbook's public URL must have no path, not {parts.path!r}")
