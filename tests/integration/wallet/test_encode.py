"""Whatever a request may hold reaches PostgreSQL as it came."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import asyncpg
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.wallet.ledger_bench import OPERATOR, add_operators, open_bench

from stakewire.ledger.types import Decline, Kind, LedgerRequest
from stakewire.postgres.wallet.encode import number_array, text_array

AWKWARD = [
    "NULL",
    "null",
    "",
    " ",
    " padded ",
    "{}",
    "{a,b}",
    '"',
    '""',
    "\\",
    '\\"',
    "\\\\n",
    "\\u0041",
    "a,b",
    "'; --",
    "\n\t\r\b\f\x01\x1f\x7f",
    "Ωμέγα \u2028\ufeff 🎲",
]
storable = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
texts = storable | st.sampled_from(AWKWARD)
numbers = st.integers(-(10**38), 10**38) | st.integers(-(2**66), 2**66)


def test_every_array_arrives_as_it_was(database_url: str) -> None:
    """Any texts that PostgreSQL can hold, numbers of up to 38 digits, and gaps between them."""
    with asyncio.Runner() as runner:
        conn = runner.run(asyncpg.connect(database_url))

        @settings(max_examples=300, deadline=None)
        @given(st.lists(texts | st.none()), st.lists(numbers | st.none()), st.lists(st.booleans()))
        def check(words: list[str | None], amounts: list[int | None], truths: list[bool]) -> None:
            query = "SELECT $1::text::text[], $2::text::numeric[], $3::text::boolean[]"
            arguments = text_array(words), number_array(amounts), number_array(truths)
            got = runner.run(conn.fetchrow(query, *arguments))
            assert got is not None
            assert [got[0], got[1], got[2]] == [words, amounts, truths]

        try:
            check()
            everything = runner.run(conn.fetchval("SELECT $1::text::text[]", text_array(AWKWARD)))
            assert everything == AWKWARD
            declines = runner.run(conn.fetchval("SELECT $1::text::text[]", text_array([*Decline, None])))
            assert declines == [*Decline, None]
        finally:
            runner.run(conn.close())


async def test_awkward_requests_are_stored_as_they_came(database_url: str) -> None:
    """Ids, names and raw bytes full of what the array's text itself is written with, in one batch."""
    names = [text for text in AWKWARD if text]
    raws = [text.encode() + bytes(range(256)) for text in names]
    async with open_bench(database_url) as bench:
        await add_operators(database_url, OPERATOR)
        for name in names:
            await bench.open_player(name, "EUR")
        requests = [
            LedgerRequest(OPERATOR, name, Kind.RESULT, name, "EUR", Decimal("1.50"), raw=raw)
            for name, raw in zip(names, raws, strict=True)
        ]
        undone = [
            LedgerRequest(OPERATOR, f"undo {name}", Kind.ROLLBACK, name, "EUR", Decimal("1.50"), name)
            for name in names
        ]
        outcomes = await bench.at_once([*requests, *undone])
        assert {outcome.decline for outcome in outcomes} == {None}
        rows = await bench.pool.fetch(
            "SELECT t.tx_id, t.user_id, t.raw, r.by_tx_id FROM wallet.transaction AS t"
            " JOIN wallet.reversal AS r ON r.target_tx_id = t.tx_id AND r.operator_id = t.operator_id"
            " ORDER BY t.own_id"
        )
        assert [tuple(row) for row in rows] == [
            (name, name, raw, f"undo {name}") for name, raw in zip(names, raws, strict=True)
        ]
