"""`verify` finds every planted corruption, and names the row."""

from __future__ import annotations

import asyncpg
import pytest
from tests.integration.wallet.ledger_bench import (
    CALENDAR,
    CURRENCIES,
    Bench,
    add_operators,
    ask,
    deposit_of,
    open_bench,
)

from stakewire.ledger.types import Kind, LimitKind, Period
from stakewire.postgres.wallet.audit import CHECKS, verify

# What a superuser, or a bug, could do to the rows; the checks that must notice; and the row they must name.
CORRUPTIONS = {
    "a balance is raised": (
        "UPDATE wallet.account SET balance = balance + 1 WHERE currency = 'EUR'",
        {"balances": "of ann in EUR"},
    ),
    "a posting is changed": (
        "UPDATE wallet.transaction SET delta = -1 WHERE tx_id = 'b1'",
        {
            "entry_sums": "EUR",
            "currency_sums": "EUR",
            "balances": "of ann in EUR",
            "running_balances": "b1 of operator 2",
            "reversals": "of b1 by r1",
            "deltas": "b1 of operator 2",
        },
    ),
    "a transaction is deleted": (
        "DELETE FROM wallet.transaction WHERE tx_id = 'w1'",
        {"balances": "of ann in EUR", "running_balances": "seq", "entry_sums": "EUR"},
    ),
    "the house's side is deleted": (
        "DELETE FROM wallet.house_posting WHERE operator_id = 1",
        {"entry_sums": "EUR", "currency_sums": "EUR"},
    ),
    "a running balance is changed": (
        "UPDATE wallet.transaction SET balance_after = balance_after + 5 WHERE tx_id = 'b2'",
        {"running_balances": "b2 of operator 2"},
    ),
    "an id has two effects": (
        "ALTER TABLE wallet.transaction DROP CONSTRAINT transaction_pkey;"
        "UPDATE wallet.transaction SET tx_id = 'b1' WHERE tx_id = 'b2'",
        {"one_effect_per_id": "b1 of operator 2"},
    ),
    "an own id is given twice": (
        "DROP INDEX wallet.transaction_own_id; UPDATE wallet.transaction SET own_id ="
        " (SELECT own_id FROM wallet.transaction WHERE tx_id = 'b1') WHERE tx_id = 'b2'",
        {"own_ids": "own id"},
    ),
    "a target is undone twice": (
        "ALTER TABLE wallet.reversal DROP CONSTRAINT reversal_pkey;"
        "INSERT INTO wallet.reversal SELECT * FROM wallet.reversal",
        {"one_reversal_per_target": "b1 of operator 2"},
    ),
    "a reversal is deleted": (
        "DELETE FROM wallet.reversal",
        {"deltas": "r1 of operator 2"},
    ),
    "a reversal names a declined bet": (
        "INSERT INTO wallet.reversal VALUES ('too much', 2, 'r1', 1)",
        {"reversals": "of too much by r1"},
    ),
    "a bet went below zero": (
        "UPDATE wallet.transaction SET balance_after = -1 WHERE tx_id = 'b2'",
        {"bets_below_zero": "b2 of operator 2"},
    ),
    "a decline is turned into a success": (
        "UPDATE wallet.transaction SET verdict = NULL WHERE tx_id = 'too much'",
        {"deltas": "too much of operator 2"},
    ),
    "a transaction is moved to another player's name": (
        "UPDATE wallet.transaction SET user_id = 'bob' WHERE tx_id = 'b2'",
        {"accounts": "b2 of operator 2"},
    ),
    "a tombstone loses its rollback": (
        "UPDATE wallet.transaction SET target_tx_id = 'nothing' WHERE tx_id = 'r2'",
        {"tombstones": "tombstone never came of operator 2"},
    ),
    "a late arrival without its tombstone": (
        "UPDATE wallet.late_arrival SET tx_id = 'b2'",
        {"tombstones": "late arrival b2"},
    ),
    "a day is counted wrongly": (
        "UPDATE wallet.account_day SET stakes = stakes + 1",
        {"days": "account"},
    ),
}


async def play(bench: Bench) -> None:
    """A ledger with a row of every kind in it."""
    await bench.open_player("ann", "EUR", "JPY")
    await bench.open_player("bob", "EUR")
    await bench.players.set_limit(
        "ann", "EUR", LimitKind.LOSS, Period.DAY, 9_000, act_id="limit", at=bench.clock.now()
    )
    for request in (
        deposit_of("ann", "50.00"),
        ask(Kind.BET, "b1", "4.00"),
        ask(Kind.ROLLBACK, "r1", "4.00", target="b1"),
        ask(Kind.BET, "b2", "3.00"),
        ask(Kind.BET, "too much", "99.00"),
        ask(Kind.RESULT, "w1", "7.00"),
        ask(Kind.ROLLBACK, "r2", "1.00", target="never came"),
        ask(Kind.BET, "never came", "1.00"),
        ask(Kind.RESULT, "w2", "700", currency="JPY"),
    ):
        await bench.committer.apply(request)


async def test_a_ledger_of_every_kind_of_row_is_clean(database_url: str) -> None:
    """Without corruption, nothing is reported, and the counts are right."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as bench:
        await play(bench)
        audit = await bench.audit()
        assert audit.problems == ()
        assert audit.is_clean
        assert (audit.transactions, audit.accounts) == (9, 3)


async def test_every_corruption_is_named(database_url: str) -> None:
    """Each planted corruption is found by the checks that are there for it, which name the row."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as bench:
        await play(bench)
        now = bench.clock.now()
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=1)
    seen: set[str] = set()
    try:
        for what, (sql, expected) in CORRUPTIONS.items():
            async with pool.acquire() as conn:
                broken = conn.transaction()
                await broken.start()
                await conn.execute(sql)
                audit = await verify(_One(conn), currencies=CURRENCIES, calendar=CALENDAR, now=now)  # type: ignore[arg-type]
                await broken.rollback()
            named = {problem.check: problem.row for problem in audit.problems}
            assert not audit.is_clean
            for check, row in expected.items():
                rows = [problem.row for problem in audit.problems if problem.check == check]
                assert any(row in text for text in rows), f"{what}: {check} names {rows}, of {named}"
            seen |= named.keys()
        assert seen == set(CHECKS), "every check was proven to find something"
        assert (await verify(pool, currencies=CURRENCIES, calendar=CALENDAR, now=now)).is_clean
    finally:
        await pool.close()


async def test_every_row_is_named_unless_a_bound_is_asked_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page to the last row; with a bound, what is left out is counted."""
    monkeypatch.setattr("stakewire.postgres.wallet.audit.PAGE", 2)
    await add_operators(database_url, 2)
    async with open_bench(database_url) as bench:
        for number in range(8):
            await bench.open_player(f"u{number}", "EUR")
        now = bench.clock.now()
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=1)
    try:
        await pool.execute("UPDATE wallet.account SET balance = 1")
        audit = await verify(pool, currencies=CURRENCIES, calendar=CALENDAR, now=now, limit=3)
        assert len(audit.problems) == 3
        assert (audit.unnamed, audit.broken) == ({"balances": 5}, 8)
        whole = await verify(pool, currencies=CURRENCIES, calendar=CALENDAR, now=now)
        assert len({problem.row for problem in whole.problems}) == whole.broken == 8
        assert whole.unnamed == {}
    finally:
        await pool.close()


async def test_the_running_wallet_cannot_rewrite_the_ledger(database_url: str) -> None:
    """The wallet's role appends; updates and deletes of what happened are refused by PostgreSQL."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as bench:
        await play(bench)
        for table in (
            "transaction",
            "reversal",
            "house_posting",
            "late_arrival",
            "altered_copy",
            "admin_act",
        ):
            for verb in (f"DELETE FROM wallet.{table}", f"TRUNCATE wallet.{table}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await bench.pool.execute(verb)
        for column in ("delta", "verdict", "tx_id", "raw"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await bench.pool.execute(f"UPDATE wallet.transaction SET {column} = NULL")


class _One:
    """A pool of one connection that is in a transaction already."""

    def __init__(self, conn: object) -> None:
        self._conn = conn

    def acquire(self) -> _One:
        return self

    async def __aenter__(self) -> _Inside:
        return _Inside(self._conn)

    async def __aexit__(self, *_: object) -> None:
        pass


class _Inside:
    """The connection, whose transaction was begun by the test."""

    def __init__(self, conn: object) -> None:
        self._conn = conn

    def __getattr__(self, name: str) -> object:
        return getattr(self._conn, name)

    def transaction(self, **_: object) -> _One:
        return _One(self._conn)
