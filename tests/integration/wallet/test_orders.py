"""Every order in which a bet, its copies, its rollbacks and a result can come."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator

from tests.integration.wallet.ledger_bench import Bench, add_operators, ask, open_bench

from stakewire.ledger.types import Decline, Kind, LedgerRequest, Outcome

PIECES = ("bet", "bet copy", "rollback", "rollback copy", "second rollback", "result")
START_CENTS = 1_000
STAKE_CENTS = 400
PAYOUT_CENTS = 700


def orders() -> Iterator[tuple[str, ...]]:
    """Every choice of up to five different pieces, in every order: 1,236 of them."""
    for length in range(1, 6):
        yield from itertools.permutations(PIECES, length)


def request(piece: str, mark: str) -> LedgerRequest:
    """The piece as asked by the operator about the player of this order."""
    user = f"player {mark}"
    match piece:
        case "bet" | "bet copy":
            return ask(Kind.BET, f"bet {mark}", "4.00", user=user)
        case "rollback" | "rollback copy":
            return ask(Kind.ROLLBACK, f"rollback {mark}", "4.00", user=user, target=f"bet {mark}")
        case "second rollback":
            return ask(Kind.ROLLBACK, f"second {mark}", "4.00", user=user, target=f"bet {mark}")
        case _:
            return ask(Kind.RESULT, f"result {mark}", "7.00", user=user)


def judge(order: tuple[str, ...], outcomes: list[Outcome], balance: int, *, in_order: bool) -> None:
    """What must hold whatever came first; and, `in_order`, that the bet is judged by what came before it."""
    rolled_back = any("rollback" in piece for piece in order)
    placed = any(piece.startswith("bet") for piece in order)
    expected = START_CENTS + PAYOUT_CENTS * ("result" in order) - STAKE_CENTS * (placed and not rolled_back)
    assert balance == expected, order
    answers: dict[str, set[Outcome]] = {}
    for piece, outcome in zip(order, outcomes, strict=True):
        name = piece.removesuffix(" copy")
        answers.setdefault(name, set()).add(Outcome(outcome.decline, outcome.own_id))
        if name != "bet":
            assert outcome.decline is None, (order, piece, outcome)
    assert all(len(said) == 1 for said in answers.values()), f"one id, two answers: {order} {answers}"
    own_ids = [outcome.own_id for said in answers.values() for outcome in said]
    assert None not in own_ids
    assert len(set(own_ids)) == len(own_ids)
    if placed and in_order:
        first_bet = min(order.index(piece) for piece in ("bet", "bet copy") if piece in order)
        undone_before = any("rollback" in piece for piece in order[:first_bet])
        (bet,) = answers["bet"]
        assert bet.decline == (Decline.TRANSACTION_ROLLED_BACK if undone_before else None), order


async def open_players(bench: Bench, marks: list[str]) -> None:
    """A player with 10.00 EUR for each order."""
    await asyncio.gather(*[bench.open_player(f"player {mark}", "EUR", deposit="10.00") for mark in marks])


async def balances(bench: Bench) -> dict[str, int]:
    """By player, from the database."""
    rows = await bench.pool.fetch(
        "SELECT user_id, balance::bigint"
        " FROM wallet.player AS p JOIN wallet.account AS a ON a.player_id = p.id"
    )
    return {row["user_id"]: row["balance"] for row in rows}


async def test_every_order_one_after_another(database_url: str) -> None:
    """Each answered before the next is sent: every order ends with the right money and stable answers."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as bench:
        cases = {f"s{number}": order for number, order in enumerate(orders())}
        await open_players(bench, list(cases))

        async def play(mark: str, order: tuple[str, ...]) -> list[Outcome]:
            return [await bench.committer.apply(request(piece, mark)) for piece in order]

        answered = await asyncio.gather(*[play(mark, order) for mark, order in cases.items()])
        left = await balances(bench)
        for (mark, order), outcomes in zip(cases.items(), answered, strict=True):
            judge(order, outcomes, left[f"player {mark}"], in_order=True)
        assert (await bench.audit()).is_clean


async def test_every_order_in_one_batch(database_url: str) -> None:
    """Each order submitted in one go is decided in the order of arrival, within one batch."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as bench:
        cases = {f"b{number}": order for number, order in enumerate(orders())}
        await open_players(bench, list(cases))
        answered = await asyncio.gather(
            *[bench.at_once([request(piece, mark) for piece in order]) for mark, order in cases.items()]
        )
        left = await balances(bench)
        for (mark, order), outcomes in zip(cases.items(), answered, strict=True):
            judge(order, outcomes, left[f"player {mark}"], in_order=True)
        assert (await bench.audit()).is_clean


async def test_every_order_at_once_through_two_committers(database_url: str) -> None:
    """Pieces race through two committers that know nothing of each other: one effect, one answer per id."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as one, open_bench(database_url) as two:
        cases = {f"r{number}": order for number, order in enumerate(orders())}
        await open_players(one, list(cases))
        shuffle = random.Random(7)

        async def race(mark: str, order: tuple[str, ...]) -> list[Outcome]:
            return await asyncio.gather(
                *[shuffle.choice((one, two)).committer.apply(request(piece, mark)) for piece in order]
            )

        answered = await asyncio.gather(*[race(mark, order) for mark, order in cases.items()])
        left = await balances(one)
        for (mark, order), outcomes in zip(cases.items(), answered, strict=True):
            judge(order, outcomes, left[f"player {mark}"], in_order=False)
        audit = await one.audit()
        assert audit.is_clean, audit.problems
