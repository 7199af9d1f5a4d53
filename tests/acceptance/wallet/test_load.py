"""Nearly broke players, many connections, everything delivered three times, two worker processes."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

from tests.acceptance.wallet.many import Crowd, run, together
from tests.acceptance.wallet.service import (
    SECRET,
    WalletProcess,
    bet,
    result,
    rollback,
    running,
)

PLAYERS = 50
CONNECTIONS = 16
BETS = 12  # of 1.00 each, with money for 8
OPENING = 8


def test_triple_delivery_over_16_connections(fresh_wallet: WalletProcess) -> None:
    """Each id has one effect and one answer; no bet is paid twice or from money that is not there."""
    fresh_wallet.flags = ("--workers", "2")
    with running(fresh_wallet):
        answers, balances, problems = run(fresh_wallet.url, CONNECTIONS, _play)
    assert problems == []
    for copies in answers.values():
        assert len(copies) == 3 and all(copy == copies[0] for copy in copies)
    accepted = [copies[0]["transaction_id"] for copies in answers.values() if copies[0]["error"] is None]
    assert len(set(accepted)) == len(accepted)
    for number in range(PLAYERS):
        user = f"p{number}"
        bets = [answers[f"{user}-b{i}"][0]["error"] for i in range(BETS)]
        assert set(bets) <= {None, "INSUFFICENT_FUNDS", "TRANSACTION_ROLLED_BACK"}
        undone = bets[0] is None  # the first bet's rollback comes at any moment
        taken = bets.count(None) - (1 if undone else 0)
        assert taken <= OPENING + 2
        assert balances[user] == f"{OPENING - taken + 2}.00"


async def _play(crowd: Crowd) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str], list[Any]]:
    await crowd.admin("POST", "/operators", {"name": "acme", "security_hash": SECRET})
    users = [f"p{number}" for number in range(PLAYERS)]
    await crowd.open(users, f"{OPENING}.00")
    deliveries = [each for user in users for each in _messages(user)] * 3
    random.Random(4711).shuffle(deliveries)
    answered = await together(crowd.callback("acme", raw) for _, raw in deliveries)
    answers: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (tx, _), answer in zip(deliveries, answered, strict=True):
        answers[tx].append(answer)
    verified = await crowd.admin("GET", "/verify")
    return answers, await crowd.balances(users), verified["problems"]


def _messages(user: str) -> list[tuple[str, bytes]]:
    """Bets beyond the player's money, two results of 1.00, and a rollback of the first bet."""
    bets = [(f"{user}-b{i}", bet(f"{user}-b{i}", user, "1.00")) for i in range(BETS)]
    results = [(f"{user}-w{i}", result(f"{user}-w{i}", user, "1.00")) for i in range(2)]
    return [*bets, *results, (f"{user}-r", rollback(f"{user}-r", f"{user}-b0", user, "1.00"))]
