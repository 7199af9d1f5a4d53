"""The demo's world: a wallet's operator, the sportsbook's client that belongs to it, and two players.

What only the demo knows (passwords, tokens) is in `demo.json` in the data folder, for its owner alone. The
databases are looked at on every start and brought to this state, so a start that was killed half way, or a
move to other ports, needs no repair.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stakewire.clock import SystemClock
from stakewire.errors import ConfigError, NotFound
from stakewire.ids import SystemTokens
from stakewire.money import Currencies
from stakewire.net.egress import EgressGuard
from stakewire.net.proxy import Network
from stakewire.postgres.connect import app_role, open_pool
from stakewire.postgres.crypto import Vault
from stakewire.postgres.wallet.operators import OperatorTable
from stakewire.sportsbook.clients import Clients
from stakewire.sportsbook.passwords import Passwords
from stakewire.wallet.desk import open_desk
from stakewire.wallet.operators import OperatorDesk

OPERATOR = "demo-sportsbook"  # as the wallet names the sportsbook
CLIENT = "demo-casino"  # as the sportsbook names the platform
CURRENCY = "EUR"
OPENING_DEPOSIT = "100.00"
PLAYERS: Mapping[str, str] = {
    "alice": "play-money",
    "bob": "play-money",
}  # shown to everybody: play money only

SECRETS_FILE = "demo.json"


@dataclass(frozen=True, slots=True)
class DemoSecrets:
    """Made once per data folder. `client_password` is empty until the sportsbook has made it."""

    admin_token: str
    session_secret: str
    security_hash: str
    client_password: str = ""

    @classmethod
    def read_or_make(cls, data_dir: Path) -> DemoSecrets:
        """Read `demo.json`, or make it.

        Raises:
            ConfigError: the file is not what this program wrote.
        """
        path = data_dir / SECRETS_FILE
        if not path.exists():
            made = cls(*(secrets.token_urlsafe(32) for _ in range(3)))
            made.write(data_dir)
            return made
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} cannot be read; remove it, and new secrets are made") from error

    def write(self, data_dir: Path) -> None:
        """Replace the file in one step."""
        draft = data_dir / f"{SECRETS_FILE}.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(data_dir / SECRETS_FILE)


async def seed_wallet(
    dsn: str, demo: DemoSecrets, *, vault: Vault, currencies: Currencies, time_zone: str | None
) -> None:
    """Make sure the sportsbook may call the wallet, and the players have their accounts."""
    clock, tokens = SystemClock(), SystemTokens()
    pool = await _pool(dsn, "wallet")
    try:
        operators = OperatorDesk(OperatorTable(pool), vault, clock, tokens)
        try:
            await operators.one(OPERATOR)
        except NotFound:
            await operators.add(OPERATOR, security_hash=demo.security_hash)
        async with open_desk(
            pool, currencies=currencies, time_zone=time_zone, clock=clock, tokens=tokens
        ) as desk:
            for player in PLAYERS:
                await desk.add_player(player, CURRENCY, OPENING_DEPOSIT, f"demo-opening-{player}")
    finally:
        await pool.close()


async def seed_sportsbook(
    dsn: str,
    demo: DemoSecrets,
    *,
    vault: Vault,
    currencies: Currencies,
    egress_allow: Sequence[Network],
    callback_url: str,
    origins: Sequence[str],
) -> DemoSecrets:
    """Make sure the platform is a client, called at `callback_url`; give the secrets with its password."""
    pool = await _pool(dsn, "sportsbook")
    try:
        clients = Clients(
            pool,
            vault=vault,
            urls=EgressGuard(egress_allow),
            currencies=currencies,
            tokens=SystemTokens(),
            clock=SystemClock(),
            passwords=Passwords(),
        )
        try:
            client = await clients.get(CLIENT)
        except NotFound:
            made = await clients.add(
                CLIENT,
                callback_url=callback_url,
                origins=origins,
                currencies=[CURRENCY],
                security_hash=demo.security_hash,
            )
            return replace(demo, client_password=made.password or "")
        if client.callback_url != callback_url or list(client.origins) != list(origins):
            await clients.set(CLIENT, callback_url=callback_url, origins=origins)
        if not demo.client_password:
            made = await clients.rotate(CLIENT, security_hash=demo.security_hash, new_password=True)
            return replace(demo, client_password=made.password or "")
        return demo
    finally:
        await pool.close()


async def _pool(dsn: str, side: Any) -> Any:
    return await open_pool(
        dsn, schema=side, role=app_role(side), max_size=4, application_name=f"stakewire up {side}"
    )
