"""Batches that are decided while the one before is being written: nothing is believed too early."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.model import Model, Player, Rules, Stored

from stakewire.ids import OwnIds
from stakewire.ledger.batch import Plan
from stakewire.ledger.limits import Calendar
from stakewire.ledger.store import BatchConflict, BatchRefused, OutcomeUnknown, StoreUnavailable
from stakewire.ledger.types import Decline, Kind, LedgerRequest, Outcome, Transaction, TxKey
from stakewire.money import Currencies
from stakewire.testing import ManualClock, MemoryLedger
from stakewire.wallet.committer import BatchReport, Committer

USERS = ("ann", "bob")
KINDS = {Kind.BET: "bet", Kind.RESULT: "result", Kind.ROLLBACK: "rollback"}


class SlowLedger(MemoryLedger):
    """Writes and reads that take a while and fail as told; `beside` counts what is read during a write."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.writing = 0
        self.read_meanwhile = 0
        self.order: list[Transaction] = []
        self.failures: list[Exception] = []
        self.on_write: Callable[[], None] = lambda: None

    async def read_known(self, keys: Iterable[TxKey]) -> list[Transaction]:
        self.read_meanwhile += self.writing
        return await super().read_known(keys)

    async def write(self, plan: Plan) -> None:
        self.writing = 1
        on_write, self.on_write = self.on_write, lambda: None
        on_write()
        try:
            await self.gate.wait()
            if self.failures:
                raise self.failures.pop(0)
            self.apply(plan)
        finally:
            self.writing = 0

    def apply(self, plan: Plan) -> None:
        super().apply(plan)
        self.order += plan.transactions


@asynccontextmanager
async def drafting(
    store: SlowLedger, observe: Callable[[BatchReport], None] | None = None
) -> AsyncIterator[Committer]:
    """A committer that begins a draft with every write; ann and bob have 10.00 EUR each."""
    ids = OwnIds(1)
    for user in USERS:
        store.add_player(user, "EUR", ids=ids)
    committer = Committer(
        store,
        ids,
        ManualClock(),
        currencies=Currencies.default(),
        calendar=Calendar(UTC),
        draft_from_seconds=0.0,
        observe=observe,
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


async def during(
    committer: Committer, store: SlowLedger, first: LedgerRequest, *rest: LedgerRequest
) -> tuple[asyncio.Future[Outcome], list[asyncio.Future[Outcome]]]:
    """Begin to write `first`, and return when the others are a draft."""
    waiting: list[asyncio.Future[Outcome]] = []

    def send_the_rest() -> None:
        waiting.extend(asyncio.ensure_future(committer.apply(request)) for request in rest)

    store.gate.clear()
    store.on_write = send_the_rest
    writing = asyncio.ensure_future(committer.apply(first))
    async with asyncio.timeout(5):
        while len(waiting) < len(rest):
            await asyncio.sleep(0)
        while committer.waiting:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    return writing, waiting


async def test_a_draft_sees_what_the_write_in_flight_leaves() -> None:
    """Money that the batch in flight takes cannot be staked again, its bet can be undone, its id is known."""
    store = SlowLedger()
    reports: list[BatchReport] = []
    async with drafting(store, reports.append) as committer:
        first, rest = await during(
            committer,
            store,
            ask(Kind.BET, "b1", "8.00"),
            ask(Kind.BET, "b2", "3.00"),
            ask(Kind.BET, "b1", "8.00"),
            ask(Kind.ROLLBACK, "r1", "8.00", target="b1"),
            ask(Kind.BET, "b3", "9.00"),
        )
        assert store.players["ann"].accounts["EUR"].balance == 1000
        assert not first.done()
        assert not any(answer.done() for answer in rest), "nothing is answered before it is durable"
        store.gate.set()
        said = [await answer for answer in (first, *rest)]
    assert [outcome.decline for outcome in said] == [None, Decline.INSUFFICIENT_FUNDS, None, None, None]
    assert said[2].replay
    assert said[2].own_id == said[0].own_id
    assert store.players["ann"].accounts["EUR"].balance == 100
    assert [(report.size, report.attempts) for report in reports[-2:]] == [(1, 1), (4, 1)]


@pytest.mark.parametrize(
    ("failure", "balance"),
    [
        (BatchRefused("a value"), 100),
        (BatchConflict("an account"), 100),
        (OutcomeUnknown("a connection"), 100),
        (RuntimeError("a fault"), 100),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_draft_is_decided_anew_when_the_write_fails(failure: Exception, balance: int) -> None:
    """What was decided upon a batch that never happened is decided again, upon what is there."""
    store = SlowLedger()
    async with drafting(store) as committer:
        first, rest = await during(committer, store, ask(Kind.BET, "b1", "2.00"), ask(Kind.BET, "b2", "9.00"))
        store.failures.append(failure)
        store.gate.set()
        said = [(await answer).decline for answer in (first, *rest)]
    refused = isinstance(failure, BatchRefused | RuntimeError)
    assert said == ([Decline.UNAVAILABLE, None] if refused else [None, Decline.INSUFFICIENT_FUNDS])
    assert store.players["ann"].accounts["EUR"].balance == (100 if refused else 800)


async def test_an_answer_that_stores_nothing_ends_a_draft() -> None:
    """Nothing would check it: it is decided in its turn, by what has been committed by then."""
    store = SlowLedger()
    async with drafting(store) as committer:
        first, rest = await during(
            committer,
            store,
            ask(Kind.BET, "b1", "2.00"),
            ask(Kind.BET, "b2", "1.00"),
            ask(Kind.BET, "b3", user="nobody"),
        )
        store.gate.set()
        said = [(await answer).decline for answer in (first, *rest)]
    assert said == [None, None, Decline.USER_NOT_FOUND]


async def test_stopping_answers_a_draft() -> None:
    """Whoever was taken into a draft is answered before the committer ends."""
    store = SlowLedger()
    async with drafting(store) as committer:
        first, rest = await during(committer, store, ask(Kind.BET, "b1"), ask(Kind.BET, "b2"))
        stopping = asyncio.ensure_future(committer.stop())
        await asyncio.sleep(0)
        store.gate.set()
        await stopping
        assert [(await answer).decline for answer in (first, *rest)] == [None, None]


class TroubledLedger(SlowLedger):
    """Takes a few turns of the loop for everything, and fails now and then, committed or not."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.drafted = 0

    async def _turns(self) -> None:
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)

    async def read_known(self, keys: Iterable[TxKey]) -> list[Transaction]:
        await self._turns()
        found = await super().read_known(keys)
        await self._turns()
        return found

    async def write(self, plan: Plan) -> None:
        self.writing = 1
        await self._turns()
        await asyncio.sleep(0.001 if self.chance.random() < 0.5 else 0)
        self.writing = 0
        if self.chance.random() < 0.15:
            if self.chance.random() < 0.5:
                self.apply(plan)
                raise OutcomeUnknown("lost after the commit")
            raise self.chance.choice(
                [OutcomeUnknown("lost before"), BatchConflict("planted"), StoreUnavailable("planted")]
            )
        self.apply(plan)


async def play(seed: int) -> tuple[TroubledLedger, list[tuple[LedgerRequest, Outcome]]]:
    """Forty transactions and their copies, sent at odd moments until each has its answer."""
    chance = random.Random(seed)
    store = TroubledLedger(chance)
    answered: list[tuple[LedgerRequest, Outcome]] = []

    async def send(committer: Committer, request: LedgerRequest) -> None:
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        while (outcome := await committer.apply(request)).decline is Decline.UNAVAILABLE:
            await asyncio.sleep(0)
        if outcome.own_id is not None:
            assert (2, request.tx_id) in store.transactions, "answered before it was stored"
        answered.append((request, outcome))

    async with asyncio.timeout(20), drafting(store) as committer:
        requests = []
        for number in range(40):
            kind = chance.choice([Kind.BET, Kind.BET, Kind.RESULT, Kind.ROLLBACK])
            target = f"t{chance.randrange(40)}" if kind is Kind.ROLLBACK else None
            amount, user = str(chance.randrange(1, 9)), chance.choice(USERS)
            request = ask(kind, f"t{number}", amount, user=user, target=target)
            requests += [request] * chance.choice([1, 1, 2, 3])
        await asyncio.gather(*(send(committer, request) for request in requests))
    return store, answered


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_fails_the_order_of_the_commits_explains_every_answer(seed: int) -> None:
    """The contract's model, asked one by one in the order in which rows were stored, says the same."""
    store, answered = await play(seed)
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
