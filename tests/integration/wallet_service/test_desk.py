"""The desk on real PostgreSQL, with a clock that can be moved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest

from stakewire.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable
from stakewire.ledger.types import (
    UNAVAILABLE,
    Kind,
    LedgerRequest,
    LimitKind,
    Outcome,
    Period,
    Status,
)
from stakewire.money import Currencies
from stakewire.postgres.connect import app_role, open_pool
from stakewire.testing import ManualClock, SeededTokens
from stakewire.wallet.desk import WalletDesk, open_desk

START = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
DAY = 86_400.0
OPERATOR = 2


@dataclass
class World:
    """A desk in the zone of Malta, and its clock."""

    desk: WalletDesk
    clock: ManualClock
    pool: asyncpg.Pool

    async def ask(self, tx: str, kind: Kind, amount: str, target: str | None = None) -> Outcome:
        """A callback of some operator, straight to the committer."""
        request = LedgerRequest(OPERATOR, tx, kind, "ann", "EUR", Decimal(amount), target)
        return await self.desk._cashier.apply(request)


class Away:
    """A cashier whose database is gone."""

    async def apply(self, request: LedgerRequest) -> Outcome:
        return UNAVAILABLE


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """With a player `ann` who has 100.00 EUR."""
    clock = ManualClock(START)
    pool = await open_pool(database_url, schema="wallet", role=app_role("wallet"), max_size=4)
    async with open_desk(
        pool, currencies=Currencies.default(), time_zone="Europe/Malta", clock=clock, tokens=SeededTokens()
    ) as desk:
        await desk.add_player("ann", "EUR", "100.00", "open-ann")
        yield World(desk, clock, pool)
    pool.terminate()


async def test_a_date_is_the_first_moment_of_the_day_in_the_wallets_zone(world: World) -> None:
    """Midnight in Malta is 22:00 UTC in summer; the player may bet again from that moment on."""
    player = await world.desk.exclude("ann", "2026-04-02", "x1")
    assert player.excluded_until == datetime(2026, 4, 1, 22, 0, tzinfo=UTC)
    assert (await world.ask("b1", Kind.BET, "1")).decline == "USER_BLOCKED"
    world.clock.advance((datetime(2026, 4, 1, 22, 0, tzinfo=UTC) - START).total_seconds())
    assert (await world.ask("b2", Kind.BET, "1")).decline is None


@pytest.mark.parametrize(
    "until", ["", "tomorrow", "2026-04-02T10:00:00", "2026-13-01", "20260402", "2026-W14-4"]
)
async def test_other_dates_are_refused(world: World, until: str) -> None:
    """A time without an offset would mean another moment elsewhere."""
    with pytest.raises(InvalidInput):
        await world.desk.exclude("ann", until, "x1")


async def test_a_repeated_exclusion_is_not_refused_for_having_passed(world: World) -> None:
    """The same act after its date: it was done, so it is done."""
    await world.desk.exclude("ann", "2026-04-02", "x1")
    with pytest.raises(Conflict):
        await world.desk.exclude("ann", "2026-04-01", "x2")
    await world.desk.exclude("ann", "2026-05-02", "x3")
    assert (await world.desk.exclude("ann", "2026-04-02", "x1")).excluded_until == datetime(
        2026, 5, 1, 22, 0, tzinfo=UTC
    )
    world.clock.advance(40 * DAY)
    for act, until in (("x1", "2026-04-02"), ("x3", "2026-05-02")):
        again = await world.desk.exclude("ann", until, act)
        assert again.excluded_until == datetime(2026, 5, 1, 22, 0, tzinfo=UTC)
    with pytest.raises(InvalidInput):
        await world.desk.exclude("ann", "2026-05-02", "x4")


async def test_limits_turn_with_the_calendar(world: World) -> None:
    """A day's stakes are forgotten at midnight in the wallet's zone, not 24 hours later and not at UTC's."""
    await world.desk.limit("ann", LimitKind.STAKE, "10", "EUR", Period.DAY, "l1")
    assert (await world.ask("b1", Kind.BET, "10")).decline is None
    assert (await world.ask("b2", Kind.BET, "0.01")).decline == "LIMIT_EXCEEDED"
    world.clock.advance(11 * 3600)  # 23:00 UTC: midnight in Malta, still winter time
    assert (await world.ask("b3", Kind.BET, "0.01")).decline is None
    player = await world.desk.show_player("ann")
    assert [(limit.amount, limit.used) for limit in player.accounts[0].limits] == [("10.00", "0.01")]


async def test_a_limit_counts_what_was_staked_before_it(world: World) -> None:
    """Set in the middle of a day, it looks back to the day's beginning."""
    await world.ask("b1", Kind.BET, "8")
    await world.desk.limit("ann", LimitKind.STAKE, "10", "EUR", Period.WEEK, "l1")
    assert (await world.ask("b2", Kind.BET, "3")).decline == "LIMIT_EXCEEDED"
    await world.ask("r1", Kind.ROLLBACK, "8", "b1")
    assert (await world.ask("b3", Kind.BET, "3")).decline is None


async def test_an_interrupted_player_with_a_deposit_is_finished_by_the_same_id(world: World) -> None:
    """The account was made, the deposit was not: the same act again pays it in, once."""
    cashier, world.desk._cashier = world.desk._cashier, Away()
    with pytest.raises(Unavailable):
        await world.desk.add_player("bob", "EUR", "5", "open-bob")
    world.desk._cashier = cashier
    for amount in ("5", "5.00"):
        player = await world.desk.add_player("bob", "EUR", amount, "open-bob")
        assert player.accounts[0].balance == "5.00"


async def test_another_first_deposit_is_another_act(world: World) -> None:
    """An id that made a player without a deposit, or with one, does not stand for anything else."""
    await world.desk.add_player("bob", "EUR", None, "open-bob")
    await world.desk.add_player("eve", "EUR", "5", "open-eve")
    for user, deposit in (("bob", "5"), ("eve", None), ("eve", "6")):
        with pytest.raises(Conflict, match="another act"):
            await world.desk.add_player(user, "EUR", deposit, f"open-{user}")
    assert (await world.desk.show_player("bob")).accounts[0].balance == "0.00"
    assert (await world.desk.show_player("eve")).accounts[0].balance == "5.00"


async def test_debts_are_seen(world: World) -> None:
    """Balances below zero, by currency, as positive amounts."""
    assert await world.desk.debts() == []
    await world.ask("w1", Kind.RESULT, "10")
    await world.ask("b1", Kind.BET, "105")
    await world.ask("r1", Kind.ROLLBACK, "10", "w1")
    assert await world.desk.debts() == [("EUR", 1, 5.0)]


async def test_refusals(world: World) -> None:
    """Each kind of no has its own error."""
    with pytest.raises(NotFound):
        await world.desk.deposit("nobody", "1", "EUR", "d1")
    with pytest.raises(NotFound):
        await world.desk.deposit("ann", "1", "USD", "d1")
    with pytest.raises(InvalidInput):
        await world.desk.deposit("ann", "1.001", "EUR", "d1")
    with pytest.raises(InvalidInput):
        await world.desk.deposit("ann", "1", "XXQ", "d1")
    with pytest.raises(InvalidInput):
        await world.desk.deposit("ann", "1", "EUR", "d\n1")
    with pytest.raises(Refused):
        await world.desk.withdraw("ann", "100.01", "EUR", "w1")
    with pytest.raises(Conflict):
        await world.desk.deposit("ann", "100.01", "EUR", "w1")
    await world.desk.set_status("ann", Status.CLOSED, "c1")
    with pytest.raises(Conflict):
        await world.desk.set_status("ann", Status.ACTIVE, "c2")


async def test_a_database_that_is_away_is_unavailable(world: World) -> None:
    """For reads, and for money: not known, so the same id again."""
    world.pool.terminate()
    with pytest.raises(Unavailable):
        await world.desk.show_player("ann")
    with pytest.raises(Unavailable):
        await world.desk.deposit("ann", "1", "EUR", "d1")
