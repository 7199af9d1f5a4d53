"""Every order of a bet, its copy, its rollback, the rollback's copy, a second rollback and a result."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.acceptance.wallet.many import Crowd, run, together
from tests.acceptance.wallet.service import WalletProcess, bet, result, rollback
from tests.model import Model, Player, Rules, Stored

LONGEST = 5
CONNECTIONS = 32
OPENING = 1000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WIRE = {"INSUFFICIENT_FUNDS": "INSUFFICENT_FUNDS"}

# Each message: (id, action, amount, target).
Message = tuple[str, str, str, str | None]
MESSAGES: tuple[Message, ...] = (
    ("b", "bet", "4", None),
    ("b", "bet", "4", None),
    ("r", "rollback", "4", "b"),
    ("r", "rollback", "4", "b"),
    ("r2", "rollback", "4", "b"),
    ("w", "result", "7", None),
)
Answers = tuple[tuple[str | None, ...], int]
"""The errors in the order of the messages, and the balance at the end in minor units."""


def said_by_model(messages: Sequence[Message]) -> Answers:
    """What the reference model answers, one message after another."""
    model = Model({"EUR": 2})
    model.players["u"] = Player({"EUR": OPENING})
    errors = tuple(
        model.ask(2, tx, Stored(action, "u", "EUR", Decimal(amount), target), NOW, Rules())
        for tx, action, amount, target in messages
    )
    return tuple(WIRE.get(error or "", error) for error in errors), model.players["u"].balances["EUR"]


def body(user: str, message: Message) -> bytes:
    """The message as this player's; ids are told apart by the player."""
    tx, action, amount, target = message
    if target is not None:
        return rollback(f"{user}-{tx}", f"{user}-{target}", user, amount)
    return (bet if action == "bet" else result)(f"{user}-{tx}", user, amount)


def check_ids(messages: Sequence[Message], answers: Sequence[dict[str, Any]]) -> None:
    """A success names an own id: the same for the same id, another for another."""
    own: dict[str, set[str]] = {}
    for (tx, *_), answer in zip(messages, answers, strict=True):
        if answer["error"] is None:
            own.setdefault(tx, set()).add(answer["transaction_id"])
    assert all(len(ids) == 1 for ids in own.values())
    assert len(set.union(set(), *own.values())) == len(own)


def test_one_after_another(wallet: WalletProcess) -> None:
    """All 1,236 orders of up to five messages get the model's answers and balances."""
    orders = [
        tuple(MESSAGES[i] for i in order)
        for length in range(1, LONGEST + 1)
        for order in itertools.permutations(range(len(MESSAGES)), length)
    ]

    async def play(crowd: Crowd) -> None:
        users = [f"order-{number}" for number in range(len(orders))]
        await crowd.open(users, "10.00")
        answered = await together(map(one_by_one, itertools.repeat(crowd), users, orders))
        balances = await crowd.balances(users)
        for user, messages, answers in zip(users, orders, answered, strict=True):
            check_ids(messages, answers)
            seen = tuple(answer["error"] for answer in answers), int(balances[user].replace(".", ""))
            assert seen == said_by_model(messages), messages

    run(wallet.url, CONNECTIONS, play)


async def one_by_one(crowd: Crowd, user: str, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Each message after the answer to the one before."""
    return [await crowd.callback("acme", body(user, message)) for message in messages]


def test_at_once(wallet: WalletProcess) -> None:
    """Up to five messages at the same moment come to what the model says of one of their orders."""
    repeats = 3
    sets = [
        tuple(MESSAGES[i] for i in chosen)
        for length in range(2, LONGEST + 1)
        for chosen in itertools.combinations(range(len(MESSAGES)), length)
    ] * repeats

    async def play(crowd: Crowd) -> None:
        users = [f"storm-{number}" for number in range(len(sets))]
        await crowd.open(users, "10.00")
        for user, messages in zip(users, sets, strict=True):
            answers = await together(crowd.callback("acme", body(user, message)) for message in messages)
            check_ids(messages, answers)
            balance = (await crowd.balances([user]))[user]
            seen = tuple(answer["error"] for answer in answers), int(balance.replace(".", ""))
            assert seen in possible(messages), messages

    run(wallet.url, LONGEST, play)


def possible(messages: Sequence[Message]) -> set[Answers]:
    """What the model says of every order, with the errors put back into the order of `messages`."""
    found = set()
    for order in itertools.permutations(range(len(messages))):
        errors, balance = said_by_model([messages[i] for i in order])
        placed: list[str | None] = [None] * len(messages)
        for place, error in zip(order, errors, strict=True):
            placed[place] = error
        found.add((tuple(placed), balance))
    return found
