"""The group committer on the memory twin: who is answered, when, and what happens when the store fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date
from decimal import Decimal
from typing import Any

import pytest

from stakewire.ids import OwnIds
from stakewire.ledger.batch import Plan
from stakewire.ledger.limits import Calendar
from stakewire.ledger.store import BatchConflict, BatchRefused, OutcomeUnknown, StoreUnavailable
from stakewire.ledger.types import UNAVAILABLE, Decline, Kind, LedgerRequest, Outcome, PlayerState
from stakewire.money import Currencies
from stakewire.testing import ManualClock, MemoryLedger
from stakewire.wallet.committer import Committer
from stakewire.wallet.lane import BatchReport


class FailingLedger(MemoryLedger):
    """Fails its next writes as told; `commits` says whether the failed write took effect."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception] = []
        self.commits = False
        self.written: list[Plan] = []
        self.gate: asyncio.Event | None = None

    async def write(self, plan: Plan) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            failure = self.failures.pop(0)
            if self.commits:
                self.apply(plan)
            raise failure
        await super().write(plan)
        self.written.append(plan)


@asynccontextmanager
async def committing(store: MemoryLedger, **options: Any) -> AsyncIterator[Committer]:
    """A started committer; ann has an account in EUR."""
    ids = OwnIds(1)
    store.add_player("ann", "EUR", ids=ids)
    committer = Committer(
        [store], ids, ManualClock(), currencies=Currencies.default(), calendar=Calendar(UTC), **options
    )
    await committer.start()
    yield committer
    await committer.stop()


def pay(tx_id: str, amount: str = "1.00") -> LedgerRequest:
    """A result for ann."""
    return LedgerRequest(2, tx_id, Kind.RESULT, "ann", "EUR", Decimal(amount))


async def test_what_waits_together_is_one_batch() -> None:
    """Requests submitted while a batch is being written are the next batch; a batch has a greatest size."""
    store = FailingLedger()
    store.gate = asyncio.Event()
    reports: list[BatchReport] = []
    async with committing(store, max_batch=4, observe=reports.append) as committer:
        first = asyncio.ensure_future(committer.apply(pay("t0")))
        await asyncio.sleep(0)
        rest = [asyncio.ensure_future(committer.apply(pay(f"t{n}"))) for n in range(1, 7)]
        while committer.waiting < 6:
            await asyncio.sleep(0)
        assert not first.done(), "no answer leaves before the write has returned"
        assert committer.oldest_received_at == 0.0
        store.gate.set()
        await asyncio.gather(first, *rest)
    assert [report.size for report in reports] == [1, 4, 2]
    assert store.players["ann"].accounts["EUR"].balance == 700


@pytest.mark.parametrize("commits", [True, False])
async def test_an_unknown_outcome_is_looked_up(commits: bool) -> None:
    """Whether the lost write took effect or not, the request has one effect and its own answer."""
    store = FailingLedger()
    store.failures, store.commits = [OutcomeUnknown("cut")], commits
    async with committing(store) as committer:
        said = await committer.apply(pay("t1"))
        assert (said.decline, said.own_id) == (None, store.transactions[2, "t1"].own_id)
        assert store.players["ann"].accounts["EUR"].balance == 100


async def test_conflicts_are_decided_again() -> None:
    """A batch that meets somebody else's change is decided afresh; nobody hears of it."""
    store = FailingLedger()
    store.failures = [BatchConflict("taken"), BatchConflict("taken again")]
    reports: list[BatchReport] = []
    async with committing(store, observe=reports.append) as committer:
        assert (await committer.apply(pay("t1"))).decline is None
        assert (reports[0].attempts, reports[0].locked) == (3, True)


async def test_conflicts_without_end_are_given_up() -> None:
    """After a bounded number of attempts the answer is UNAVAILABLE, and the next batch is tried as ever."""
    store = FailingLedger()
    store.failures = [BatchConflict("taken")] * 8
    async with committing(store) as committer:
        assert await committer.apply(pay("t1")) == UNAVAILABLE
        assert (await committer.apply(pay("t1"))).decline is None


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), StoreUnavailable("away"), BatchRefused("no")])
async def test_it_survives_every_error(failure: Exception) -> None:
    """Whatever the store raises, the committer goes on, and nothing is answered that is not known."""
    store = FailingLedger()
    store.failures = [failure] * 2
    async with committing(store) as committer:
        while (said := await committer.apply(pay("t1"))) == UNAVAILABLE:
            pass
        assert said.decline is None
        assert store.players["ann"].accounts["EUR"].balance == 100


async def test_a_request_that_cannot_be_decided_does_not_take_the_batch_with_it() -> None:
    """What the code in front let through by mistake fails alone; its neighbours are carried out."""
    store = FailingLedger()
    async with committing(store) as committer:
        asked = [pay(f"t{n}") for n in range(7)]
        asked[3].amount = "1.00"  # type: ignore[assignment]
        said = [outcome.decline for outcome in await asyncio.gather(*map(committer.apply, asked))]
        assert said.count(None) == 6
        assert said[3] is Decline.UNAVAILABLE
        assert store.players["ann"].accounts["EUR"].balance == 600


async def test_while_the_database_is_away_everything_is_unavailable() -> None:
    """Never a success or a decline that is not known; once it is back, all goes on."""
    store = FailingLedger()
    async with committing(store) as committer:
        store.away = True
        asked = [pay("t1"), pay("t2"), LedgerRequest(2, "t3", Kind.BET, "nobody", "EUR", Decimal(1))]
        assert await asyncio.gather(*map(committer.apply, asked)) == [UNAVAILABLE] * 3
        store.away = False
        said = await asyncio.gather(*map(committer.apply, asked))
        assert [outcome.decline for outcome in said] == [None, None, Decline.USER_NOT_FOUND]


async def test_the_queue_has_a_bound() -> None:
    """More than the queue holds is answered UNAVAILABLE at once, so that the sender asks again."""
    store = FailingLedger()
    store.gate = asyncio.Event()
    async with committing(store, max_waiting=3, max_batch=1) as committer:
        asked = [asyncio.ensure_future(committer.apply(pay(f"t{n}"))) for n in range(6)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        store.gate.set()
        said = await asyncio.gather(*asked)
    assert said.count(UNAVAILABLE) == 3
    assert store.players["ann"].accounts["EUR"].balance == 300


async def test_stopping_answers_everything() -> None:
    """What was submitted before the stop is committed and answered; what comes later is UNAVAILABLE."""
    store = FailingLedger()
    async with committing(store) as committer:
        asked = [asyncio.ensure_future(committer.apply(pay(f"t{n}"))) for n in range(3)]
        await asyncio.sleep(0)
        await committer.stop()
        assert [outcome.decline for outcome in await asyncio.gather(*asked)] == [None] * 3
        assert await committer.apply(pay("late")) == UNAVAILABLE


async def test_an_answer_that_raises_harms_nobody_else() -> None:
    """A connection that is gone cannot be answered; its neighbours in the batch are."""
    store = FailingLedger()
    heard: list[Outcome] = []

    def gone(outcome: Outcome) -> None:
        raise ConnectionResetError

    async with committing(store) as committer:
        committer.submit(pay("t1"), gone)
        committer.submit(pay("t2"), heard.append)
        await committer.apply(pay("t3"))
    assert [outcome.decline for outcome in heard] == [None]


@pytest.mark.parametrize("guess", [True, False])
async def test_a_durable_answer_does_not_wait_for_a_next_batch_that_hangs(guess: bool) -> None:
    """Answers are held back for the next batch's start, not for a database that stalls before it."""

    class Stalling(FailingLedger):
        reads = 0

        async def read_players(self, user_ids: Sequence[str], since: date) -> list[PlayerState]:
            self.reads += 1
            if self.reads == 2:
                await stalled.wait()
            return await super().read_players(user_ids, since)

    stalled = asyncio.Event()
    store = Stalling()
    store.gate = asyncio.Event()
    async with committing(store, guess=guess, cached_players=0) as committer:
        first = asyncio.ensure_future(committer.apply(pay("t1")))
        while store.reads < 1:
            await asyncio.sleep(0)
        second = asyncio.ensure_future(committer.apply(pay("t2")))
        while committer.waiting < 1:
            await asyncio.sleep(0)
        store.gate.set()
        async with asyncio.timeout(5):
            assert (await first).decline is None
        assert not second.done()
        stalled.set()
        assert (await second).decline is None


@pytest.mark.parametrize("recent_ids", [0, 10])
async def test_a_known_id_is_found_before_an_answer_that_stores_nothing(recent_ids: int) -> None:
    """A copy that names nobody, or no amount of money, gets the first answer all the same."""
    store = FailingLedger()
    async with committing(store, recent_ids=recent_ids) as committer:
        first = await committer.apply(pay("t1"))
        for copy in (
            LedgerRequest(2, "t1", Kind.RESULT, "nobody", "EUR", Decimal(1)),
            LedgerRequest(2, "t1", Kind.RESULT, "ann", "EUR", Decimal("-1")),
            LedgerRequest(2, "t1", Kind.RESULT, "ann", "JPY", Decimal(1)),
        ):
            again = await committer.apply(copy)
            assert (again.decline, again.own_id, again.altered) == (None, first.own_id, True)


async def test_copies_of_forgotten_ids_move_nothing_and_do_not_end_the_guessing() -> None:
    """A copy that was taken for new meets its key; its batch looks the ids up and gives the first answers."""
    store = FailingLedger()
    reports: list[BatchReport] = []
    async with committing(store, recent_ids=0, observe=reports.append) as committer:
        first = await committer.apply(pay("t1"))
        copy, fresh = await asyncio.gather(committer.apply(pay("t1")), committer.apply(pay("t2")))
        assert (copy.own_id, copy.replay, fresh.replay) == (first.own_id, True, False)
        assert store.players["ann"].accounts["EUR"].balance == 200
        for number in range(3, 8):
            await committer.apply(pay(f"t{number}"))
    assert [report.attempts for report in reports] == [1, 2, *[1] * 5]


async def test_a_guess_from_an_old_copy_is_never_written() -> None:
    """Somebody else spends the money of a cached account: the bet is decided again, and declined."""
    store = FailingLedger()
    async with committing(store) as committer:
        await committer.apply(pay("t1", "5.00"))
        account = store.players["ann"].accounts["EUR"]
        account.balance, account.version = 0, account.version + 1
        bet = LedgerRequest(2, "t2", Kind.BET, "ann", "EUR", Decimal(5))
        assert (await committer.apply(bet)).decline is Decline.INSUFFICIENT_FUNDS
