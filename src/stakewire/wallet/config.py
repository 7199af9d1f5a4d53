"""What one wallet process is told at start; the command line builds it from the settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stakewire.errors import ConfigError
from stakewire.ledger.limits import Calendar

MIN_ADMIN_TOKEN_CHARACTERS = 16

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletConfig:
    """Settings of `stakewire serve wallet`. Times are seconds.

    Raises:
        ConfigError: a value would lose money, open a door, or cannot work.
    """

    database_url: str
    data_dir: Path  # holds `master.key` when `master_key` is not given
    master_key: str | None = None  # base64 of 32 bytes; seals the operators' secrets
    host: str = "127.0.0.1"
    port: int = 8082
    workers: int = 1
    admin_port: int | None = None  # admin API and metrics on a listener of their own
    admin_token: str | None = None  # none: the admin API answers 403 to everybody
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: Sequence[IpNetwork] = ()
    extra_currencies: Mapping[str, int] = field(default_factory=dict)  # code -> decimals
    time_zone: str | None = None  # of the limits' days; none: the ledger's own, which its first use made UTC
    wrong_signatures_per_minute: int = 300  # per address; then 429
    operators_poll: float = 1.0  # how stale a retired secret can be
    operators_refresh_gap: float = 0.1  # least time between two reloads asked for by unknown signatures
    max_connections: int = 10_000
    pool_size: int = 4  # connections for the admin API, polls and checks of one worker
    stop_grace: float = 10.0  # requests in flight are answered within this time at shutdown

    def __post_init__(self) -> None:
        """Refuse what cannot run safely, with one sentence that says what to do."""
        if self.admin_token is not None:
            _check_admin_token(self.admin_token)
        if self.workers < 1:
            raise ConfigError("workers must be at least 1")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("--tls-cert and --tls-key must be given together")
        if self.admin_port is not None and self.admin_port == self.port and self.port != 0:
            raise ConfigError("--admin-port must differ from --port")
        if self.wrong_signatures_per_minute < 1:
            raise ConfigError("wrong_signatures_per_minute must be at least 1")
        if self.time_zone is not None:
            Calendar.named(self.time_zone)


def _check_admin_token(token: str) -> None:
    if len(token) < MIN_ADMIN_TOKEN_CHARACTERS:
        raise ConfigError(
            f"STAKEWIRE_ADMIN_TOKEN must have at least {MIN_ADMIN_TOKEN_CHARACTERS} characters; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            "STAKEWIRE_ADMIN_TOKEN must be printable ASCII without spaces: it travels in a header"
        )
