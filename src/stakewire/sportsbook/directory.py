"""Every client as the running sportsbook sees it: in memory, at most a second old."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog

from stakewire.clock import Clock
from stakewire.delivery.schedule import RetrySchedule
from stakewire.errors import StakewireError
from stakewire.postgres.crypto import Vault
from stakewire.postgres.sportsbook import clients as store
from stakewire.postgres.sportsbook.clients import ClientRow
from stakewire.sportsbook.clients import secret_name
from stakewire.sportsbook.delivery.targets import ClientTarget
from stakewire.wire.sportsbook.profile import Profile
from stakewire.wire.sportsbook.signing import Secret

_log = structlog.get_logger("stakewire.sportsbook")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client now. `active` is false when it is disabled: no sessions, no bets, but its payouts go out."""

    id: int
    name: str
    origins: tuple[str, ...]
    currencies: tuple[str, ...]
    active: bool
    target: ClientTarget


class ClientDirectory:
    """Clients by id and by name; also the `TargetSource` of delivery.

    A client that cannot be read (its secret is sealed with another master key) is left out and
    logged, so that it stops its own callbacks and nobody else's.
    """

    def __init__(self, pool: Any, vault: Vault, clock: Clock) -> None:
        self._pool = pool
        self._vault = vault
        self._clock = clock
        self._by_id: dict[int, Client] = {}
        self._by_name: dict[str, Client] = {}
        self._rows: dict[int, ClientRow] = {}

    async def reload(self) -> None:
        """Read all clients; those that did not change are kept as they are."""
        async with self._pool.acquire() as conn:
            rows = await store.list_clients(conn, self._clock.now())
        by_id: dict[int, Client] = {}
        for row in rows:
            known = self._by_id.get(row.id)
            if known is not None and self._rows.get(row.id) == row:
                by_id[row.id] = known
            elif (client := self._read(row)) is not None:
                by_id[row.id] = client
        self._rows = {row.id: row for row in rows}
        self._by_id = by_id
        self._by_name = {client.name: client for client in by_id.values()}

    def find(self, name: str) -> Client | None:
        return self._by_name.get(name)

    def get(self, client_id: int) -> Client | None:
        return self._by_id.get(client_id)

    async def target(self, client_id: int) -> ClientTarget | None:
        """Where this client's callbacks go; a client added a moment ago is looked up once."""
        client = self._by_id.get(client_id)
        if client is None and client_id not in self._rows:
            await self.reload()
            client = self._by_id.get(client_id)
        return None if client is None else client.target

    def _read(self, row: ClientRow) -> Client | None:
        try:
            return read_client(row, self._vault)
        except StakewireError as error:
            _log.error("client_unreadable", client=row.name, reason=error.message)
            return None


def read_client(row: ClientRow, vault: Vault) -> Client:
    """Open a client's secret and read its profile.

    Raises:
        ConfigError: the secret is sealed with a master key that is not live.
        InvalidInput: the stored profile is of another version of this program.
    """
    profile = Profile.from_toml(row.profile)
    return Client(
        id=row.id,
        name=row.name,
        origins=row.origins,
        currencies=row.currencies,
        active=row.state == "active",
        target=ClientTarget(
            client_id=row.id,
            name=row.name,
            callback_url=row.callback_url,
            secret=Secret(vault.open(row.secret_sealed, secret_name(row.name))),
            bet_timeout=profile.bet_timeout,
            schedule=RetrySchedule.of(profile.retry_schedule),
            hash_header=profile.hash_headers[0],
        ),
    )
