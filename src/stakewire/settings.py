"""Settings, read once: a flag wins over `STAKEWIRE_...` in the environment, which wins over the TOML file.

The file is `--config FILE`, else `STAKEWIRE_CONFIG`, else `./stakewire.toml` if it is there. Keys are the
field names below; a side's own keys are in its table (`[wallet] port = 8082`), in the environment behind its
name (`STAKEWIRE_WALLET_PORT`). An unknown key in the file is an error, with the nearest known one named.
Unknown variables are left alone: container platforms invent such names for every service.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from stakewire.errors import ConfigError, InvalidInput

PREFIX = "STAKEWIRE_"
DEFAULT_FILE = Path("stakewire.toml")

# The demo's whole world is this machine; anything else must be allowed by name.
LOOPBACK = "127.0.0.0/8,::1/128"


def _split(value: Any) -> Any:
    """`a,b` from the environment or a flag is the list [a, b]."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _networks(value: Any) -> Any:
    """Networks in CIDR form; an address with bits outside its mask is named, not silently widened."""
    parts = _split(value)
    return tuple(ip_network(part) for part in parts) if isinstance(parts, list) else parts


def _pairs(value: Any) -> Any:
    """`a=1,b=2` from the environment is the table {a: 1, b: 2}."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in _split(value)]
    if any(not separator for _, separator, _ in pairs):
        raise ValueError("must look like NAME=VALUE,NAME=VALUE")
    return {name.strip(): given.strip() for name, _, given in pairs}


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _not_empty(value: Any) -> Any:
    if value == "":
        raise ValueError("is empty; leave it out or give a real secret")
    return value


Network = IPv4Network | IPv6Network
Networks = Annotated[tuple[Network, ...], BeforeValidator(_networks)]
Port = Annotated[int, Field(ge=0, le=65535)]
DatabaseUrl = Annotated[str | None, BeforeValidator(_none_if_empty)]
Secret = Annotated[SecretStr | None, BeforeValidator(_not_empty)]


class Listener(BaseModel):
    """What every `serve` is told about its listening."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: Port = Field(default=0, description="port to listen on; 0 takes a free one")
    tls_cert: Path | None = Field(default=None, description="PEM file with the certificate chain")
    tls_key: Path | None = Field(default=None, description="PEM file with the private key")
    trusted_proxies: Networks = Field(
        default=(), description="networks whose X-Forwarded-* headers are believed"
    )


class Service(Listener):
    """What a side with a database is told besides."""

    workers: int = Field(default=1, ge=1, le=64, description="processes that answer")
    admin_port: Port | None = Field(
        default=None, description="own port for the admin API and metrics, away from the public one"
    )
    database_url: DatabaseUrl = Field(default=None, repr=False, description="this side's own database")


class WalletSettings(Service):
    """`[wallet]`, `STAKEWIRE_WALLET_...`."""

    port: Port = Field(default=8082, description="port to listen on; 0 takes a free one")
    time_zone: Annotated[str | None, BeforeValidator(_none_if_empty)] = Field(
        default=None,
        description="zone of the days of players' limits; the ledger keeps its first one, or UTC",
    )
    wrong_signatures_per_minute: int = Field(default=300, ge=1, description="per address; then 429")


class SportsbookSettings(Service):
    """`[sportsbook]`, `STAKEWIRE_SPORTSBOOK_...`."""

    port: Port = Field(default=8081, description="port to listen on; 0 takes a free one")
    public_url: str | None = Field(default=None, description="address under which players' browsers reach it")
    simulate: bool = Field(default=False, description="invent matches and play them, as the demo does")
    auth_attempts_per_minute: int = Field(default=20, ge=1, description="wrong passwords per address")
    bets_per_minute: int = Field(default=60, ge=1, description="bets of one player")
    max_payout: int = Field(default=1_000_000, ge=1, description="whole units of a currency one bet may pay")
    callback_concurrency: int = Field(default=64, ge=1, description="callbacks in flight per client")


class SiteSettings(Listener):
    """`[site]`, `STAKEWIRE_SITE_...`: the demo platform's site."""

    port: Port = Field(default=8080, description="port to listen on; 0 takes a free one")
    sportsbook_url: str = Field(default="", description="API_URL of the sportsbook")
    sportsbook_username: str = Field(default="", description="USERNAME of the sportsbook's client")
    sportsbook_password: SecretStr = Field(
        default=SecretStr(""), description="PASSWORD of the sportsbook's client"
    )
    wallet_url: str = Field(default="", description="where the wallet's admin API answers")
    wallet_admin_token: SecretStr = Field(
        default=SecretStr(""), description="token of the wallet's admin API"
    )
    players: Annotated[dict[str, SecretStr], BeforeValidator(_pairs)] = Field(
        default_factory=dict, description="demo log-ins, NAME=PASSWORD,..."
    )
    session_secret: SecretStr = Field(
        default=SecretStr(""), description="signs the log-in cookie; 16 characters at least"
    )
    currency: str = Field(default="EUR", description="currency of the demo accounts")


class Settings(BaseModel):
    """Everything a command may be told; each field's description is its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path = Field(
        Path("stakewire-data"), description="folder of the embedded PostgreSQL and the master key"
    )
    database_url: DatabaseUrl = Field(
        default=None, repr=False, description="PostgreSQL to use instead of the embedded one"
    )
    admin_token: Secret = Field(default=None, description="bearer token of the admin API")
    master_key: Secret = Field(
        None, description="base64 of 32 bytes; seals secrets at rest (else DATA/master.key)"
    )
    egress_allow: Networks = Field(default=(), description="private networks that callbacks may go to")
    currencies: Annotated[dict[str, int], BeforeValidator(_pairs)] = Field(
        default_factory=dict, description="further currencies and their decimal places, XYZ=3,..."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level logged"
    )
    wallet: WalletSettings = WalletSettings()
    sportsbook: SportsbookSettings = SportsbookSettings()
    site: SiteSettings = SiteSettings()

    def side_database_url(self, side: Literal["wallet", "sportsbook", "hub"]) -> str | None:
        """The side's own database, else the common one, which is the hub's; none means the embedded one."""
        own = None if side == "hub" else getattr(self, side).database_url
        return own or self.database_url


SECTIONS: Mapping[str, type[Listener]] = {
    "wallet": WalletSettings,
    "sportsbook": SportsbookSettings,
    "site": SiteSettings,
}


_FLAGS = {"trusted_proxies": "trusted-proxy"}  # flags whose name is not the field's


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings; `flags` is nested like the fields, with None for flags not given.

    Raises:
        InvalidInput: a value is wrong or a key unknown; says which one and where it came from.
        ConfigError: the file cannot be read.
    """
    environment = os.environ if environment is None else environment
    given = _without_none(flags or {})
    file = _file_to_read(config, environment)
    content = _read(file) if file else {}
    _refuse_unknown(content, str(file))
    merged = _over(given, _over(_from_environment(environment), content))
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise InvalidInput(_explain(error, given, environment, str(file))) from None


def variables() -> Iterator[tuple[str, str | None, str, FieldInfo]]:
    """Every setting as (variable, section or None, field name, field); the documentation walks this too."""
    for name, field in Settings.model_fields.items():
        if name not in SECTIONS:
            yield f"{PREFIX}{name.upper()}", None, name, field
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            yield f"{PREFIX}{section.upper()}_{name.upper()}", section, name, field


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, section, name, _ in variables():
        if variable in environment:
            place = found if section is None else found.setdefault(section, {})
            place[name] = environment[variable]
    return found


def _over(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `upper` over `lower`, section by section."""
    merged = {**lower, **upper}
    for section in SECTIONS:
        if section in upper and section in lower:
            merged[section] = {**lower[section], **upper[section]}
    return merged


def _file_to_read(config: Path | None, environment: Mapping[str, str]) -> Path | None:
    if config is not None:
        return config
    if named := environment.get(f"{PREFIX}CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the settings file {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the settings file {file} is not TOML: {error}") from error


def _without_none(flags: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in flags.items():
        if isinstance(value, Mapping):
            if nested := _without_none(value):
                given[name] = nested
        elif value is not None:
            given[name] = value
    return given


def _refuse_unknown(content: Mapping[str, Any], file: str) -> None:
    """Name a misspelt key before its value is looked at; the environment never gets here."""
    known = {"": set(Settings.model_fields)} | {
        name: set(model.model_fields) for name, model in SECTIONS.items()
    }
    for section, keys in known.items():
        table = content.get(section, {}) if section else content
        if not isinstance(table, Mapping):
            raise InvalidInput(f"{file}: [{section}] must be a table")
        for key in table:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise InvalidInput(f"{file}: unknown key {f'{section}.' if section else ''}{key}{hint}")


def _explain(
    error: ValidationError, flags: Mapping[str, Any], environment: Mapping[str, str], file: str
) -> str:
    """Say of the first wrong value its flag, variable or key, and what is wrong; never the value."""
    first = error.errors(include_input=False, include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    what = first["msg"].removeprefix("Value error, ")
    setting = path[:2] if path[0] in SECTIONS else path[:1]
    place = flags.get(setting[0], {}) if len(setting) == 2 else flags
    if setting[-1] in place:
        return f"--{_FLAGS.get(setting[-1], setting[-1].replace('_', '-'))}: {what}"
    variable = PREFIX + "_".join(setting).upper()
    if variable in environment:
        return f"{variable}: {what}"
    return f"{file}: {'.'.join(path)}: {what}"
