"""One process of the test with two: plays a fixed list in an order of its own, and says what it heard.

Run as `python -m tests.integration.wallet.hammer DSN SEED REQUESTS PLAYERS`; prints one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys

import uvloop
from tests.integration.wallet.ledger_bench import ask, open_bench

from stakewire.ledger.types import Kind, LedgerRequest, Outcome
from stakewire.wallet.lane import BatchReport

SHARED_SEED = 99


def shared_requests(count: int, players: int) -> list[LedgerRequest]:
    """The same list in every process: bets that nearly break the players, results, rollbacks of both."""
    dice = random.Random(SHARED_SEED)
    requests: list[LedgerRequest] = []
    for number in range(count):
        user = f"hot{dice.randrange(players)}"
        if dice.random() < 0.2 and number:
            target = requests[dice.randrange(len(requests))]
            requests.append(
                ask(Kind.ROLLBACK, f"h{number}", "1.00", user=target.user_id, target=target.tx_id)
            )
        else:
            kind = dice.choice([Kind.BET, Kind.BET, Kind.RESULT])
            requests.append(ask(kind, f"h{number}", f"{dice.randrange(1, 600) / 100:.2f}", user=user))
    return requests


async def main(dsn: str, seed: int, count: int, players: int) -> None:
    requests = shared_requests(count, players)
    dice = random.Random(seed)
    # Each process sends all of them, roughly in order, so that copies of one id race between the processes.
    order = sorted(range(count), key=lambda number: number + dice.uniform(-60, 60))
    reports: list[BatchReport] = []
    heard: dict[str, Outcome] = {}
    async with open_bench(dsn, observe=reports.append, lanes=2, beside_from=2) as bench:
        turn = iter(order)

        async def client() -> None:
            for number in turn:
                asked = requests[number]
                heard[asked.tx_id] = await bench.committer.apply(asked)

        await asyncio.gather(*[client() for _ in range(64)])
    said = {tx_id: [outcome.decline, outcome.own_id, outcome.replay] for tx_id, outcome in heard.items()}
    print(json.dumps({"said": said, "retried": sum(report.attempts > 1 for report in reports)}))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
