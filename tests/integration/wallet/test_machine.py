"""The ledger on PostgreSQL against the reference model: two committers that know nothing of each other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace
from tests.integration.wallet.ledger_bench import Bench, add_operators, open_bench
from tests.ledger_machine import START, LedgerMachine

from stakewire.ids import slot_of
from stakewire.ledger.types import LedgerRequest, Limit, Outcome, Status
from stakewire.postgres.wallet.players import QUERIES

T = TypeVar("T")


class PostgresLedgerMachine(LedgerMachine):
    """Every run has players and ids of its own; its batches go to one committer or the other."""

    dsn: ClassVar[str]
    runs: ClassVar[Iterator[int]] = itertools.count()
    latest: ClassVar[datetime] = (
        START  # the days of a run that was here later are not counted from earlier on
    )

    def __init__(self) -> None:
        super().__init__()
        self.mark = f"~{next(self.runs)}"
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.turns = itertools.count()
        self.benches: list[Bench] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def open_accounts(self, accounts: dict[str, tuple[str, ...]]) -> None:
        for _ in range(2):
            bench = open_bench(self.dsn, clock=self.clock, recent_ids=0)
            self.benches.append(self.run(self.stack.enter_async_context(bench)))
        for user, currencies in accounts.items():
            self.run(self.benches[0].open_player(user + self.mark, *currencies))

    def carry_out(self, requests: list[LedgerRequest]) -> list[Outcome]:
        marked = [
            replace(
                asked,
                tx_id=asked.tx_id + self.mark,
                user_id=asked.user_id + self.mark,
                target_id=None if asked.target_id is None else asked.target_id + self.mark,
            )
            for asked in requests
        ]
        turn = next(self.turns)
        return self.run(self.benches[turn // 3 % 2].at_once(marked))

    def balances(self) -> dict[tuple[str, str], int]:
        async def read() -> dict[tuple[str, str], int]:
            shown: dict[tuple[str, str], int] = {}
            for user in self.model.players:
                view = await self.benches[0].players.show(user + self.mark, self.clock.now())
                shown |= {(user, account.currency): account.balance_minor for account in view.accounts}
            return shown

        return self.run(read())

    def stand(self, user: str, status: Status, excluded_until: datetime | None) -> None:
        async def change() -> None:
            name = user + self.mark
            async with self.benches[0].pool.acquire() as conn, conn.transaction():
                player = await conn.fetchrow(QUERIES.lock_player, name, slot_of(name))
                assert player is not None
                await conn.execute(QUERIES.set_status, player["id"], player["slot"], status.value)
                await conn.execute(QUERIES.set_exclusion, player["id"], player["slot"], excluded_until)
                await conn.execute(QUERIES.bump_accounts, player["id"], player["slot"])

        self.run(change())

    def limit(self, user: str, currency: str, limits: list[Limit]) -> None:
        async def change() -> None:
            store, now, name = self.benches[0].players, self.clock.now(), user + self.mark
            view = await store.show(name, now)
            account = next(each for each in view.accounts if each.currency == currency)
            wanted = {(limit.kind, limit.period): limit.amount_minor for limit in limits}
            for kind, period in {(limit.kind, limit.period) for limit in account.limits} | wanted.keys():
                act = f"limit {self.mark} {next(self.turns)}"
                amount = wanted.get((kind, period))
                await store.set_limit(name, currency, kind, period, amount, act_id=act, at=now)

        self.run(change())

    def teardown(self) -> None:
        try:
            if self.benches:
                type(self).latest = max(self.latest, self.clock.now())
                audit = self.run(self.benches[0].audit(self.latest))
                assert audit.is_clean, audit.problems
        finally:
            self.run(self.stack.aclose())
            self.loop.close()


def test_the_ledger_on_postgresql_is_the_models(database_url: str) -> None:
    """Whatever comes, in whatever order, through either process: answers and balances are the model's."""
    with asyncio.Runner() as runner:
        runner.run(add_operators(database_url, 2, 3, 4))
    PostgresLedgerMachine.dsn = database_url
    run_state_machine_as_test(
        PostgresLedgerMachine,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
