"""Several wallets on one database: one effect per id, one answer per id, nobody below zero."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from tests.integration.wallet.ledger_bench import add_operators, ask, open_bench

from stakewire.ledger.types import Decline, Kind, Status
from stakewire.wallet.lane import BatchReport

ROOT = Path(__file__).parents[3]
REQUESTS, PLAYERS = 2_000, 10


async def _hammer(dsn: str, seed: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "tests.integration.wallet.hammer",
            dsn,
            str(seed),
            str(REQUESTS),
            str(PLAYERS),
        ),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    heard: dict[str, Any] = json.loads(printed)
    return heard


async def test_two_processes_on_ten_hot_accounts(database_url: str) -> None:
    """Both send every id: each has one effect, and both heard the same answer with the same own id."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as bench:
        for number in range(PLAYERS):
            await bench.open_player(f"hot{number}", "EUR", deposit="10.00")
        one, two = await asyncio.gather(_hammer(database_url, 1), _hammer(database_url, 2))
        assert len(one["said"]) == len(two["said"]) == REQUESTS
        for tx_id, (decline, own_id, _) in one["said"].items():
            assert two["said"][tx_id][:2] == [decline, own_id], tx_id
            assert decline is None or decline != Decline.UNAVAILABLE
        first = sum(not heard["said"][tx_id][2] for heard in (one, two) for tx_id in one["said"])
        assert first >= REQUESTS * 0.9, "most ids were decided by a process that then heard so"
        assert one["retried"] + two["retried"] > 0, "the processes did meet"
        declined = sum(decline is not None for decline, _, _ in one["said"].values())
        assert declined > 0, "some player was broke"
        audit = await bench.audit()
        assert audit.is_clean, audit.problems
        assert (
            await bench.pool.fetchval("SELECT count(*) FROM wallet.transaction WHERE tx_id LIKE 'h%'")
            >= REQUESTS
        )


async def test_money_for_a_hundred_of_a_hundred_and_fifty_bets_three_times_each(database_url: str) -> None:
    """450 deliveries at once through two committers: exactly 100 bets are accepted."""
    await add_operators(database_url, 2)
    dice = random.Random(3)
    async with open_bench(database_url) as one, open_bench(database_url) as two:
        await one.open_player("ann", "EUR", deposit="100.00")
        deliveries = [ask(Kind.BET, f"b{number}", "1.00") for number in range(150)] * 3
        dice.shuffle(deliveries)
        outcomes = await asyncio.gather(
            *[dice.choice((one, two)).committer.apply(asked) for asked in deliveries]
        )
        answers: dict[str, set[Any]] = {}
        for asked, outcome in zip(deliveries, outcomes, strict=True):
            answers.setdefault(asked.tx_id, set()).add((outcome.decline, outcome.own_id))
        assert all(len(said) == 1 for said in answers.values())
        accepted = [tx_id for tx_id, said in answers.items() if next(iter(said))[0] is None]
        assert len(accepted) == 100
        assert await one.balance("ann") == 0
        assert (await one.audit()).is_clean


async def test_no_bet_after_a_block_that_another_process_committed(database_url: str) -> None:
    """A cached player is no excuse: a bet that starts after the block is refused, by every committer."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as one, open_bench(database_url) as two:
        for number in range(30):
            user = f"u{number}"
            await one.open_player(user, "EUR", deposit="10.00")
            bets = [ask(Kind.BET, f"{user} {n}", "0.10", user=user) for n in range(6)]
            assert (await two.committer.apply(bets[0])).decline is None  # now both know the player
            assert (await one.committer.apply(bets[1])).decline is None
            await one.players.set_status(user, Status.BLOCKED, act_id=f"block {user}", at=one.clock.now())
            assert (await two.committer.apply(bets[2])).decline is Decline.USER_BLOCKED
            assert (await one.committer.apply(bets[3])).decline is Decline.USER_BLOCKED
            await two.players.set_status(user, Status.ACTIVE, act_id=f"unblock {user}", at=one.clock.now())
            assert (await one.committer.apply(bets[4])).decline is None
            assert (await two.committer.apply(bets[2])).decline is Decline.USER_BLOCKED, (
                "a decline is for ever"
            )
        assert (await one.audit()).is_clean


async def test_an_account_opened_elsewhere_is_seen_at_once(database_url: str) -> None:
    """A player that a committer knows gets a second currency in another process: its next bet is accepted."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as one, open_bench(database_url) as two:
        await one.open_player("ann", "EUR", deposit="10.00")
        early = ask(Kind.RESULT, "early", "5", currency="JPY")
        assert (await two.committer.apply(early)).decline is Decline.CURRENCY_MISMATCH
        await one.open_player("ann", "JPY")
        assert (await two.committer.apply(early)).decline is None
        ghost = ask(Kind.RESULT, "ghost", "5", user="bob")
        assert (await two.committer.apply(ghost)).decline is Decline.USER_NOT_FOUND
        await one.open_player("bob", "EUR")
        assert (await two.committer.apply(ghost)).decline is None


async def test_caches_are_bounded(database_url: str) -> None:
    """A committer that remembers two players serves many, also within one batch."""
    await add_operators(database_url, 2)
    reports: list[BatchReport] = []
    async with open_bench(database_url, cached_players=2, observe=reports.append) as bench:
        users = [f"u{number}" for number in range(40)]
        for user in users:
            await bench.open_player(user, "EUR")
        for turn in range(3):
            outcomes = await bench.at_once(
                [ask(Kind.RESULT, f"{turn} {user}", "1.00", user=user) for user in users]
            )
            assert all(outcome.decline is None for outcome in outcomes)
        assert all(report.attempts == 1 for report in reports)
        assert {await bench.balance(user) for user in users} == {300}
