"""Lost connections, an absent database, refused values: what is answered is true, nothing happens twice."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.integration.wallet.cut_proxy import Cut, CutProxy, cut_proxy
from tests.integration.wallet.ledger_bench import Bench, add_operators, ask, open_bench

from stakewire.ledger.batch import Plan
from stakewire.ledger.types import Decline, Kind, LedgerRequest, Outcome
from stakewire.postgres.wallet.store import PostgresLedger
from stakewire.wallet.lane import BatchReport


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder whose name is short enough for a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="cut-"))
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def cut_at_the_write(
    monkeypatch: pytest.MonkeyPatch, dsn: str, folder: Path, cut: Cut, *, guess: bool
) -> Any:
    """A bench whose committer loses its connection at the next write, or, under locks, at its COMMIT."""
    await add_operators(dsn, 2)
    async with cut_proxy(dsn, folder) as proxy, open_bench(dsn, connect_to=proxy.dsn, guess=guess) as bench:
        await bench.open_player("ann", "EUR", deposit="10.00")
        await bench.at_once([ask(Kind.RESULT, "warm", "0")])  # every statement is prepared now
        plant_cut(monkeypatch, proxy, cut, guess=guess)
        yield bench, proxy


def plant_cut(monkeypatch: pytest.MonkeyPatch, proxy: CutProxy, cut: Cut, *, guess: bool) -> None:
    """Cut at the first write from now on."""
    write, execute = PostgresLedger.write, PostgresLedger._execute
    planted: list[int] = []

    async def cut_write(self: PostgresLedger, plan: Plan) -> None:
        if not planted:
            planted.append(1)
            proxy.arm(cut)
        await write(self, plan)

    async def cut_commit(self: PostgresLedger, query: str, *arguments: Any) -> None:
        await execute(self, query, *arguments)
        if "write_batch" in query and not planted:
            planted.append(1)
            proxy.arm(cut)  # the next thing sent is COMMIT

    if guess:
        monkeypatch.setattr(PostgresLedger, "write", cut_write)
    else:
        monkeypatch.setattr(PostgresLedger, "_execute", cut_commit)


@pytest.mark.parametrize("guess", [True, False], ids=["one statement", "under locks"])
@pytest.mark.parametrize("cut", list(Cut), ids=[cut.name for cut in Cut])
async def test_a_connection_lost_at_the_commit(
    database_url: str, socket_folder: Path, monkeypatch: pytest.MonkeyPatch, cut: Cut, guess: bool
) -> None:
    """Whether the lost COMMIT happened or not: the ids are looked up, each is answered as stored, once."""
    async with cut_at_the_write(monkeypatch, database_url, socket_folder, cut, guess=guess) as (bench, proxy):
        batch = [
            ask(Kind.BET, "b1", "4.00"),
            ask(Kind.BET, "b2", "9.00"),
            ask(Kind.BET, "b1", "4.00"),
            ask(Kind.ROLLBACK, "r1", "4.00", target="b1"),
            ask(Kind.ROLLBACK, "r2", "1.00", target="never seen"),
            ask(Kind.BET, "b3", "3.00"),
        ]
        outcomes = await bench.at_once(batch)
        assert proxy.cuts == 1, "the fault happened"
        said = [outcome.decline for outcome in outcomes]
        assert said == [None, Decline.INSUFFICIENT_FUNDS, None, None, None, None]
        assert await bench.balance("ann") == 700
        again = await bench.at_once(batch)
        assert [(o.decline, o.own_id) for o in again] == [(o.decline, o.own_id) for o in outcomes]
        audit = await bench.audit()
        assert audit.is_clean, audit.problems


async def test_a_database_that_stays_away_is_never_a_success_or_a_decline(
    database_url: str, socket_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committed, answer lost, no way back: UNAVAILABLE; once it is back the stored answer stands."""
    async with cut_at_the_write(monkeypatch, database_url, socket_folder, Cut.AFTER, guess=True) as (
        bench,
        _,
    ):
        socket = socket_folder / ".s.PGSQL.5432"
        away = socket.with_name("away")
        socket.rename(away)  # the open connection goes on; no new one can be made
        first = await bench.committer.apply(ask(Kind.BET, "b1", "4.00"))
        assert first == Outcome(Decline.UNAVAILABLE, None)
        assert await bench.balance("ann") == 600, "it was committed"
        assert (await bench.committer.apply(ask(Kind.BET, "b2", "1.00"))).decline is Decline.UNAVAILABLE
        away.rename(socket)
        second = await bench.committer.apply(ask(Kind.BET, "b1", "4.00"))
        assert (second.decline, second.replay) == (None, True)
        assert await bench.balance("ann") == 600
        assert (await bench.audit()).is_clean


async def test_backends_killed_again_and_again(database_url: str) -> None:
    """Connections ended under load: what was answered is stored so, and copies get the same answer."""
    await add_operators(database_url, 2)
    dice = random.Random(11)
    users = [f"u{number}" for number in range(8)]
    async with (
        open_bench(database_url, max_batch=40, lanes=2, beside_from=8) as one,
        open_bench(database_url, max_batch=40) as two,
    ):
        for user in users:
            await one.open_player(user, "EUR", deposit="50.00")
        requests = [_any_request(dice, number, dice.choice(users)) for number in range(1500)]
        answered: list[Outcome] = []
        killer = asyncio.ensure_future(_kill_backends(database_url, answered, len(requests)))
        outcomes = await asyncio.gather(
            *[_until_answered(dice.choice((one, two)), asked, answered) for asked in requests]
        )
        kills = await killer
        assert kills >= 10, "the fault happened"
        again = await one.at_once(requests)
        for asked, first, copy in zip(requests, outcomes, again, strict=True):
            assert (first.decline, first.own_id) == (copy.decline, copy.own_id), asked
        audit = await two.audit()
        assert audit.is_clean, audit.problems


def _any_request(dice: random.Random, number: int, user: str) -> LedgerRequest:
    if dice.random() < 0.15 and number > 20:
        target = f"t{dice.randrange(number)}"
        return ask(Kind.ROLLBACK, f"t{number}", "1.00", user=user, target=target)
    kind = dice.choice([Kind.BET, Kind.BET, Kind.RESULT])
    return ask(kind, f"t{number}", f"{dice.randrange(1, 900) / 100:.2f}", user=user)


async def _until_answered(bench: Bench, asked: LedgerRequest, answered: list[Outcome]) -> Outcome:
    """As an operator's retries: UNAVAILABLE is no answer."""
    while (outcome := await bench.committer.apply(asked)).decline is Decline.UNAVAILABLE:
        await asyncio.sleep(0.005)
    answered.append(outcome)
    return outcome


async def _kill_backends(dsn: str, answered: list[Outcome], until: int) -> int:
    """End every connection but this one after each further hundred answers, until so many are given."""
    conn = await asyncpg.connect(dsn)
    kills, next_at = 0, 50
    try:
        while len(answered) < until:
            if len(answered) >= next_at:
                kills += await conn.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                next_at = len(answered) + 100
            await asyncio.sleep(0)
    finally:
        await conn.close()
    return kills


async def test_one_impossible_request_does_not_take_the_batch_with_it(database_url: str) -> None:
    """A value that the database refuses is left unanswered alone; its neighbours are carried out."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as bench:
        await bench.open_player("ann", "EUR", deposit="10.00")
        batch = [ask(Kind.BET, f"b{number}", "1.00") for number in range(9)]
        batch.insert(4, ask(Kind.BET, "no \0 text", "1.00"))
        outcomes = await bench.at_once(batch)
        said = [outcome.decline for outcome in outcomes]
        assert said == [None] * 4 + [Decline.UNAVAILABLE] + [None] * 5
        assert await bench.balance("ann") == 100


async def test_an_account_locked_for_long_delays_and_does_not_break(database_url: str) -> None:
    """A stranger holds an account: no answer is made up; once it lets go, the same request succeeds, once."""
    await add_operators(database_url, 2)
    reports: list[BatchReport] = []
    async with open_bench(database_url, seconds=0.3, observe=reports.append) as bench:
        await bench.open_player("ann", "EUR", deposit="10.00")
        stranger = await asyncpg.connect(database_url)
        try:
            async with stranger.transaction():
                await stranger.execute("SELECT FROM wallet.account FOR UPDATE")
                held = await bench.committer.apply(ask(Kind.BET, "b1", "4.00"))
                assert held.decline is Decline.UNAVAILABLE
        finally:
            await stranger.close()
        assert (await _until_answered(bench, ask(Kind.BET, "b1", "4.00"), [])).decline is None
        assert await bench.balance("ann") == 600
        assert reports[-1].unavailable == 0
        assert (await bench.audit()).is_clean
