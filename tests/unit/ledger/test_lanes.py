"""Two batches in flight at once: they share neither player nor id, whoever fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.model import Model, Player, Rules, Stored

from stakewire.ids import OwnIds
from stakewire.ledger.batch import Plan
from stakewire.ledger.limits import Calendar
from stakewire.ledger.store import BatchConflict, OutcomeUnknown, StoreUnavailable
from stakewire.ledger.types import Decline, Kind, LedgerRequest, Outcome, Transaction, TxKey
from stakewire.money import Currencies
from stakewire.testing import ManualClock, MemoryLedger
from stakewire.wallet.committer import Committer
from stakewire.wallet.queue import Queue

USERS = ("ann", "bob", "ced", "dan", "eve", "fay")
KINDS = {Kind.BET: "bet", Kind.RESULT: "result", Kind.ROLLBACK: "rollback"}


@asynccontextmanager
async def two_lanes(store: MemoryLedger) -> AsyncIterator[Committer]:
    """A committer that begins a batch beside another for a single request; three players have 10.00 EUR."""
    ids = OwnIds(1)
    for user in USERS:
        store.add_player(user, "EUR", ids=ids)
    committer = Committer(
        [store, store],
        ids,
        ManualClock(),
        currencies=Currencies.default(),
        calendar=Calendar(UTC),
        beside_from=1,
    )
    await committer.start()
    for user in USERS:
        await committer.apply(ask(Kind.RESULT, f"opening {user}", "10.00", user=user))
    yield committer
    await committer.stop()


def ask(
    kind: Kind, tx_id: str, amount: str = "1.00", *, user: str = "ann", target: str | None = None
) -> LedgerRequest:
    return LedgerRequest(2, tx_id, kind, user, "EUR", Decimal(amount), target)


def taken(queue: Queue, most: int = 10) -> list[str] | None:
    """The ids of the next batch, which stays in flight."""
    batch = queue.take(most)
    return None if batch is None else [request.tx_id for request in batch.requests]


def queue_of(*requests: LedgerRequest, beside_from: int = 1) -> Queue:
    queue = Queue(beside_from)
    for request in requests:
        queue.add(request, lambda outcome: None)
    return queue


def test_what_names_something_in_flight_stays_with_all_that_follows_it() -> None:
    """Player, id and target are reasons to stay, and so is whoever stays: the order of arrival is kept."""
    queue = queue_of(ask(Kind.BET, "b1", user="ann"))
    assert taken(queue) == ["b1"]
    for request in (
        ask(Kind.BET, "b2", user="ann"),  # the player
        ask(Kind.BET, "b1", user="bob"),  # the id, another player's
        ask(Kind.BET, "b3", user="bob"),  # after bob's other request
        ask(Kind.ROLLBACK, "r1", user="ced", target="b1"),  # the target
        ask(Kind.BET, "r1", user="dan"),  # the id of one that stays
        ask(Kind.BET, "b4", user="eve"),
    ):
        queue.add(request, lambda outcome: None)
    assert taken(queue) == ["b4"]
    assert taken(queue) is None
    assert [queue.oldest.tx_id if queue.oldest else "", len(queue)] == ["b2", 5]


def test_a_settled_batch_frees_what_it_held() -> None:
    """Whatever waited for it is the next batch, in the order of arrival."""
    queue = queue_of(ask(Kind.BET, "b1"))
    batch = queue.take(10)
    assert batch is not None
    queue.add(ask(Kind.BET, "b2"), lambda outcome: None)
    queue.add(ask(Kind.BET, "b1"), lambda outcome: None)
    assert taken(queue) is None
    assert not queue.takeable
    queue.settled(batch)
    assert taken(queue) == ["b2", "b1"]


def test_what_stays_keeps_its_place() -> None:
    """A full batch leaves others behind; whoever stayed was there before them, and goes before them."""
    queue = queue_of(ask(Kind.BET, "b1", user="ann"))
    batch = queue.take(10)
    assert batch is not None
    for tx_id, user in (("b2", "ann"), ("b3", "bob"), ("b4", "ced"), ("b5", "ann")):
        queue.add(ask(Kind.BET, tx_id, user=user), lambda outcome: None)
    assert taken(queue, most=1) == ["b3"]
    queue.settled(batch)
    assert taken(queue) == ["b2", "b4", "b5"]


def test_a_batch_beside_another_has_a_least_and_a_greatest_size() -> None:
    """A few requests wait for the batch in flight; a flood does not."""
    queue = queue_of(ask(Kind.BET, "b1"), beside_from=3)
    assert taken(queue) == ["b1"]
    for number in range(2, 7):
        if number < 5:
            assert taken(queue) is None
        queue.add(ask(Kind.BET, f"b{number}", user=f"user {number}"), lambda outcome: None)
    assert taken(queue, most=2) == ["b2", "b3"]
    assert taken(queue) == ["b4", "b5", "b6"]


class GatedLedger(MemoryLedger):
    """Writes that wait until they are let through, by the id of their first transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: dict[str, asyncio.Event] = {}
        self.writing: set[str] = set()

    async def write(self, plan: Plan) -> None:
        first = plan.transactions[0].tx_id
        if first in self.gates:
            self.writing.add(first)
            await self.gates[first].wait()
        await super().write(plan)


async def test_a_batch_goes_beside_a_slow_one() -> None:
    """Others' money does not wait for a batch in flight; its own players' does."""
    store = GatedLedger()
    store.gates["b1"] = asyncio.Event()
    async with asyncio.timeout(5), two_lanes(store) as committer:
        slow = asyncio.ensure_future(committer.apply(ask(Kind.BET, "b1", "8.00", user="ann")))
        while not store.writing:
            await asyncio.sleep(0)
        beside = asyncio.ensure_future(committer.apply(ask(Kind.BET, "b2", "8.00", user="bob")))
        behind = asyncio.ensure_future(committer.apply(ask(Kind.BET, "b3", "8.00", user="ann")))
        assert (await beside).decline is None
        assert not slow.done()
        assert not behind.done()
        store.gates["b1"].set()
        assert (await slow).decline is None
        assert (await behind).decline is Decline.INSUFFICIENT_FUNDS


async def test_stopping_answers_what_two_lanes_hold() -> None:
    """Batches in flight and whatever waits behind them are answered before the committer ends."""
    store = GatedLedger()
    store.gates["b1"] = asyncio.Event()
    async with asyncio.timeout(5), two_lanes(store) as committer:
        slow = asyncio.ensure_future(committer.apply(ask(Kind.BET, "b1", user="ann")))
        while not store.writing:
            await asyncio.sleep(0)
        behind = asyncio.ensure_future(committer.apply(ask(Kind.BET, "b2", user="ann")))
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(committer.stop())
        await asyncio.sleep(0)
        store.gates["b1"].set()
        await stopping
        assert [(await answer).decline for answer in (slow, behind)] == [None, None]


class TroubledLedger(MemoryLedger):
    """Takes a few turns of the loop for everything, and fails now and then, committed or not."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.order: list[Transaction] = []
        self.writing = self.most_writing = 0

    async def _turns(self) -> None:
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)

    async def read_known(self, keys: Iterable[TxKey]) -> list[Transaction]:
        await self._turns()
        found = await super().read_known(keys)
        await self._turns()
        return found

    async def write(self, plan: Plan) -> None:
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)
        await self._turns()
        self.writing -= 1
        if self.chance.random() < 0.15:
            if self.chance.random() < 0.5:
                self.apply(plan)
                raise OutcomeUnknown("lost after the commit")
            raise self.chance.choice(
                [OutcomeUnknown("lost before"), BatchConflict("planted"), StoreUnavailable("planted")]
            )
        self.apply(plan)

    def apply(self, plan: Plan) -> None:
        super().apply(plan)
        self.order += plan.transactions


async def play(seed: int) -> tuple[TroubledLedger, list[tuple[LedgerRequest, Outcome]]]:
    """Sixty transactions and their copies, sent at odd moments until each has its answer."""
    chance = random.Random(seed)
    store = TroubledLedger(chance)
    answered: list[tuple[LedgerRequest, Outcome]] = []

    async def send(committer: Committer, request: LedgerRequest) -> None:
        for _ in range(chance.randrange(200)):
            await asyncio.sleep(0)
        while (outcome := await committer.apply(request)).decline is Decline.UNAVAILABLE:
            await asyncio.sleep(0)
        if outcome.own_id is not None:
            assert (2, request.tx_id) in store.transactions, "answered before it was stored"
        answered.append((request, outcome))

    async with asyncio.timeout(20), two_lanes(store) as committer:
        requests = []
        for number in range(60):
            kind = chance.choice([Kind.BET, Kind.BET, Kind.RESULT, Kind.ROLLBACK])
            target = f"t{chance.randrange(60)}" if kind is Kind.ROLLBACK else None
            amount, user = str(chance.randrange(1, 9)), chance.choice(USERS)
            request = ask(kind, f"t{number}", amount, user=user, target=target)
            requests += [request] * chance.choice([1, 1, 2, 3])
        await asyncio.gather(*(send(committer, request) for request in requests))
    return store, answered


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_fails_the_order_of_the_commits_explains_every_answer(seed: int) -> None:
    """The contract's model, asked one by one in the order in which rows were stored, says the same."""
    store, answered = await play(seed)
    assert store.most_writing == 2, "batches were in flight at once"
    model = Model({"EUR": 2})
    model.players = {user: Player({"EUR": 0}) for user in USERS}
    errors: dict[str, str | None] = {}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for row in store.order:
        if row.kind is Kind.TOMBSTONE:
            continue
        assert row.amount is not None
        asked = Stored(KINDS[row.kind], row.user_id, row.currency, Decimal(row.amount), row.target_id)
        errors[row.tx_id] = model.ask(2, row.tx_id, asked, now, Rules())
        assert errors[row.tx_id] == row.decline
    balances = {user: store.players[user].accounts["EUR"].balance for user in USERS}
    assert balances == {user: player.balances["EUR"] for user, player in model.players.items()}
    for request, outcome in answered:
        if request.tx_id in errors:
            assert outcome.decline == errors[request.tx_id]
        else:
            assert store.transactions[2, request.tx_id].kind is Kind.TOMBSTONE
