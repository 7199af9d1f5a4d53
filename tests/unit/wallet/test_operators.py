"""Operators: what a name and a hash may be, how secrets rotate, when the directory reads again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from stakewire.errors import Conflict, InvalidInput, NotFound
from stakewire.postgres.wallet.operators import OperatorRow, SecretRow
from stakewire.testing import ManualClock, SeededTokens
from stakewire.wallet.operators import OperatorDesk, OperatorDirectory, check_hash, check_name
from stakewire.wallet.rechecks import MAX_WAITING, MAX_WAITING_BYTES, Rechecks
from stakewire.wire.sportsbook.profile import Profile


class PlainVault:
    """Seals by naming the place, so that a moved secret does not open."""

    def seal(self, plaintext: str, aad: str) -> bytes:
        return f"{aad}|{plaintext}".encode()

    def open(self, sealed: bytes, aad: str) -> str:
        place, _, plaintext = sealed.decode().partition("|")
        assert place == aad
        return plaintext


class MemoryTable:
    """The operator tables as lists; counts its loads."""

    def __init__(self) -> None:
        self.rows: dict[str, OperatorRow] = {}
        self.loads = 0
        self.gate: asyncio.Event | None = None
        self.used: list[dict[int, str]] = []

    async def load(self) -> list[OperatorRow]:
        self.loads += 1
        rows = [self.rows[name] for name in sorted(self.rows)]
        if self.gate is not None:
            await self.gate.wait()
        return rows

    async def add(self, name: str, profile: Profile, at: datetime, seal: Callable[[int], bytes]) -> None:
        if name in self.rows:
            raise Conflict("taken")
        self.rows[name] = OperatorRow(
            operator_id=len(self.rows) + 2, name=name, profile=profile, created_at=at, secrets=()
        )
        self._append(name, at, seal)

    async def add_secret(
        self,
        name: str,
        at: datetime,
        seal: Callable[[int], bytes],
        *,
        retire_others_at: datetime,
        max_live: int,
    ) -> int:
        ended = 0
        for secret in self._live(name, at):
            self._change(name, secret.secret_id, retire_at=retire_others_at)
            ended += retire_others_at <= at
        self._append(name, at, seal)
        return ended

    async def retire_all_but_newest(self, name: str, at: datetime) -> int:
        old = self._live(name, at)[:-1]
        for secret in old:
            self._change(name, secret.secret_id, retired_at=at)
        return len(old)

    async def note_uses(self, headers: Mapping[int, str], at: datetime) -> None:
        self.used.append(dict(headers))

    def _live(self, name: str, at: datetime) -> list[SecretRow]:
        if name not in self.rows:
            raise NotFound("no operator")
        return [secret for secret in self.rows[name].secrets if secret.is_live(at)]

    def _append(self, name: str, at: datetime, seal: Callable[[int], bytes]) -> None:
        row = self.rows[name]
        number = len(row.secrets) + 1
        secret = SecretRow(
            secret_id=number,
            sealed=seal(number),
            created_at=at,
            retire_at=None,
            retired_at=None,
            last_used_at=None,
            last_header=None,
        )
        self.rows[name] = replace(row, secrets=(*row.secrets, secret))

    def _change(self, name: str, secret_id: int, **fields: Any) -> None:
        row = self.rows[name]
        changed = tuple(replace(one, **fields) if one.secret_id == secret_id else one for one in row.secrets)
        self.rows[name] = replace(row, secrets=changed)


class World:
    """A desk and a directory over the same table and clock."""

    def __init__(self, refresh_gap: float = 0.0) -> None:
        self.clock = ManualClock()
        self.table = MemoryTable()
        # The twins keep to the protocol by shape; the real table is used in the integration tests.
        table: Any = self.table
        self.desk = OperatorDesk(table, PlainVault(), self.clock, SeededTokens())
        self.directory = OperatorDirectory(table, PlainVault(), self.clock, refresh_gap=refresh_gap)

    async def live(self, name: str = "acme") -> int:
        await self.directory.reload()
        operator = self.directory.find(name)
        assert operator is not None
        return len(operator.secrets)


@pytest.mark.parametrize("name", ["a", "acme", "acme-2", "0", "a" * 63])
def test_good_names(name: str) -> None:
    """Lower-case letters, digits and inner hyphens: a path segment that needs no escaping."""
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a b", "a/b", "a.b", "é", "a" * 64, "cashier", "a\n"])
def test_bad_names(name: str) -> None:
    """Anything else, and the wallet's own cashier."""
    with pytest.raises(InvalidInput):
        check_name(name)


@pytest.mark.parametrize("security_hash", ["", "x" * 15, "x" * 257, "x" * 15 + "\n", "x" * 16 + "\ud800"])
def test_bad_hashes_are_refused_without_being_repeated(security_hash: str) -> None:
    """An error message may end in a log."""
    with pytest.raises(InvalidInput) as refused:
        check_hash(security_hash)
    assert not security_hash or security_hash not in refused.value.message


async def test_rotation_keeps_the_old_secret_for_seven_days() -> None:
    """Newest first in the directory; after 7 days only the new one."""
    world = World()
    await world.desk.add("acme", security_hash="first-of-sixteen")
    await world.desk.rotate("acme", security_hash="second-of-sixteen")
    assert await world.live() == 2
    operator = world.directory.find("acme")
    assert operator is not None and operator.secret_ids == (2, 1)
    world.clock.advance(timedelta(days=7).total_seconds() - 1)
    assert await world.live() == 2
    world.clock.advance(1)
    assert await world.live() == 1


async def test_retire_old_after_a_rotation_makes_no_new_secret() -> None:
    """The operator already has the newest; ending it too would cut the operator off."""
    world = World()
    await world.desk.add("acme")
    await world.desk.rotate("acme")
    retired = await world.desk.rotate("acme", retire_old=True)
    assert (retired.security_hash, retired.retired) == (None, 1)
    assert await world.live() == 1


async def test_retire_old_alone_replaces_the_only_secret_at_once() -> None:
    """A leaked hash: one command, a new one, the old one ends."""
    world = World()
    first = await world.desk.add("acme")
    replaced = await world.desk.rotate("acme", retire_old=True)
    assert replaced.security_hash not in (None, first.security_hash)
    assert replaced.retired == 1
    assert await world.live() == 1


async def test_refresh_waits_for_a_reload_that_begins_after_it() -> None:
    """Who asks while a reload is reading gets the next one; all who wait share it."""
    world = World()
    world.table.gate = asyncio.Event()
    early = asyncio.create_task(world.directory.refresh())
    while world.table.loads < 1:
        await asyncio.sleep(0)
    late = [asyncio.create_task(world.directory.refresh()) for _ in range(5)]
    await asyncio.sleep(0)
    world.table.gate.set()
    await early
    await asyncio.gather(*late)
    assert world.table.loads == 2


async def test_rechecks_settle_once_after_a_reload_and_whatever_happens() -> None:
    """A reload that fails settles them too; too many at once are settled without waiting."""
    settled: list[int] = []
    reloads = 0

    async def refresh() -> None:
        nonlocal reloads
        reloads += 1
        raise ConnectionError("away")

    rechecks = Rechecks(refresh)
    for number in range(MAX_WAITING + 1):
        rechecks.add(lambda number=number: settled.append(number), 1)  # type: ignore[misc]
    assert settled == [MAX_WAITING]
    while len(settled) <= MAX_WAITING:
        await asyncio.sleep(0)
    assert sorted(settled) == list(range(MAX_WAITING + 1))
    assert reloads == 1


async def test_waiting_requests_are_bounded_by_their_bytes_until_they_are_settled() -> None:
    """Large ones are settled at once when 8 MiB wait, also while the reload of the others is under way."""
    settled: list[str] = []
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def refresh() -> None:
        reading.set()
        await go_on.wait()

    rechecks = Rechecks(refresh)
    rechecks.add(lambda: settled.append("waits"), MAX_WAITING_BYTES - 1)
    await reading.wait()
    rechecks.add(lambda: settled.append("over"), 2)
    rechecks.add(lambda: settled.append("fits"), 1)
    assert settled == ["over"]
    go_on.set()
    while len(settled) < 3:
        await asyncio.sleep(0)
    assert settled == ["over", "waits", "fits"]
    rechecks.add(lambda: settled.append("room again"), MAX_WAITING_BYTES)
    assert settled[-1] == "fits"
    while len(settled) < 4:
        await asyncio.sleep(0)


async def test_uses_are_noted_together() -> None:
    """The hot path only remembers; one write per flush, and nothing when nothing was used."""
    world = World()
    for secret_id, header in ((2, "X-Security-Hash"), (1, "X-Security-Hash"), (2, "X-Securty-Hash")):
        world.directory.note_use(secret_id, header)
    await world.directory.flush_uses()
    await world.directory.flush_uses()
    assert world.table.used == [{2: "X-Securty-Hash", 1: "X-Security-Hash"}]
