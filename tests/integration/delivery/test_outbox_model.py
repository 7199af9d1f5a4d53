"""The outbox against a small model: any order of enqueuing, claims, lost leases, answers and retries."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from stakewire.delivery.action import Action
from stakewire.delivery.outbox import Claimed, NewCallback, Recorded
from stakewire.delivery.outcome import Attempt, Outcome
from stakewire.delivery.schedule import RetrySchedule
from stakewire.delivery.state import ENDED, State, after_attempt
from stakewire.ids import OwnIds
from stakewire.postgres.connect import open_pool
from stakewire.postgres.outbox.desk import find_callback, retry_parked
from stakewire.postgres.outbox.store import PostgresOutbox, enqueue

LEASE = timedelta(seconds=30)
SCHEDULE = RetrySchedule((0.0, 5.0, 60.0))


@dataclass
class Known:
    """What the model holds of one callback."""

    bet: int
    n: int
    state: State
    due_at: datetime | None
    attempts: int = 0
    start: int = 0


class OutboxAgainstModel(RuleBasedStateMachine):
    """Three bets of one client; time moves only by a rule."""

    loop: asyncio.AbstractEventLoop
    pool: Any

    @initialize()
    def begin(self) -> None:
        self.run(self.pool.execute("DELETE FROM callback_attempt"))
        self.run(self.pool.execute("DELETE FROM callback"))
        self.outbox = PostgresOutbox(self.pool)
        self.ids = OwnIds(3)
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.known: dict[int, Known] = {}
        self.leases: list[Claimed] = []

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def of_bet(self, bet: int) -> list[Known]:
        return [one for one in self.known.values() if one.bet == bet]

    @rule(bet=st.integers(1, 3), count=st.integers(1, 3))
    def enqueue(self, bet: int, count: int) -> None:
        new: list[NewCallback] = []
        for _ in range(count):
            number = len(self.known) + len(new) + 1
            new.append(
                NewCallback(
                    client_id=1,
                    bet_id=bet,
                    transaction_id=f"t{number}",
                    action=Action.RESULT,
                    user_id="alice",
                    currency="EUR",
                    amount_minor=1,
                    path="/transaction",
                    body=b"{}",
                )
            )
        for number in self.run(self._enqueue(new)):
            before = self.of_bet(bet)
            waits = any(one.state not in ENDED for one in before)
            state, due_at = (State.BLOCKED, None) if waits else (State.DUE, self.now)
            self.known[number] = Known(bet, len(before) + 1, state, due_at)

    async def _enqueue(self, new: list[NewCallback]) -> list[int]:
        async with self.pool.acquire() as conn, conn.transaction():
            return await enqueue(conn, new, ids=self.ids, now=self.now)

    @precondition(lambda self: self.leases)
    @rule()
    def leases_run_out_and_another_worker_claims(self) -> None:
        self.now += LEASE
        self.claim(4)

    @rule(limit=st.integers(1, 4))
    def claim_some(self, limit: int) -> None:
        self.claim(limit)

    def claim(self, limit: int) -> None:
        ready = {key: one.due_at for key, one in self.known.items() if one.due_at and one.due_at <= self.now}
        until = self.now + LEASE
        claimed = self.run(self.outbox.claim(1, now=self.now, until=until, limit=limit, worker="w"))
        taken = {one.id for one in claimed}
        assert taken <= ready.keys()
        assert len(taken) == min(limit, len(ready))
        assert all(ready[one] <= ready[other] for one in taken for other in ready.keys() - taken)
        for one in claimed:
            known = self.known[one.id]
            known.state, known.due_at, known.attempts = State.SENDING, until, known.attempts + 1
            assert (one.attempts, one.schedule_start) == (known.attempts, known.start)
        self.leases += claimed

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), accepted=st.booleans())
    def attempt_ends(self, data: Any, accepted: bool) -> None:
        """Also long after the lease was lost."""
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        outcome = Outcome.ACCEPTED if accepted else Outcome.NO_ANSWER
        attempt = Attempt(outcome=outcome, at=self.now, ms=1)
        made = lease.attempts - lease.schedule_start
        step = after_attempt(attempt, attempts=made, schedule=SCHEDULE, now=self.now, chance=lambda: 0.0)
        written = self.run(self.outbox.record([Recorded(lease, attempt, step)], now=self.now))
        known = self.known[lease.id]
        holds = known.state is State.SENDING and known.attempts == lease.attempts
        assert written.taken == holds
        if holds:
            known.state, known.due_at = step.state, step.due_at
            if accepted:
                self.release(known)

    def release(self, ended: Known) -> None:
        for one in self.of_bet(ended.bet):
            if one.n == ended.n + 1 and one.state is State.BLOCKED:
                one.state, one.due_at = State.DUE, self.now

    @precondition(lambda self: len(self.leases) > 1)
    @rule(data=st.data())
    def give_back(self, data: Any) -> None:
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        self.run(self.outbox.give_back([lease], now=self.now))
        known = self.known[lease.id]
        if known.state is State.SENDING and known.attempts == lease.attempts:
            known.state, known.due_at, known.attempts = State.DUE, self.now, known.attempts - 1

    @rule(seconds=st.sampled_from([5, 61]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def retry_what_is_parked(self) -> None:
        parked = sorted(key for key, one in self.known.items() if one.state is State.PARKED)
        assert self.run(retry_parked(self.pool, now=self.now)) == parked
        for key in parked:
            known = self.known[key]
            self.known[key] = replace(known, state=State.DUE, due_at=self.now, start=known.attempts)

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        if not hasattr(self, "known"):
            return
        rows = self.run(
            self.pool.fetch("SELECT id, bet_id, n, state, due_at, attempts, schedule_start FROM callback")
        )
        assert {
            row[0]: Known(row[1], row[2], State(row[3]), row[4], row[5], row[6]) for row in rows
        } == self.known

    @invariant()
    def one_callback_of_a_bet_at_a_time(self) -> None:
        for bet in (1, 2, 3):
            moving = (
                [one for one in self.of_bet(bet) if one.state not in (*ENDED, State.BLOCKED)]
                if hasattr(self, "known")
                else []
            )
            assert len(moving) <= 1

    def teardown(self) -> None:
        """In the end everything can be delivered, in order, whatever happened before."""
        if not hasattr(self, "known"):
            return
        self.leases.clear()
        for _ in range(4 * len(self.known)):
            self.now += LEASE + timedelta(seconds=61)
            self.retry_what_is_parked()
            claimed = self.run(
                self.outbox.claim(1, now=self.now, until=self.now + LEASE, limit=9, worker="w")
            )
            for one in claimed:
                self.known[one.id].attempts += 1
                self.known[one.id].state = State.SENDING
                self.leases.append(one)
                self._answer(one)
        found = [self.run(find_callback(self.pool, str(key))).state for key in self.known]
        assert set(found) <= {State.ANSWERED}

    def _answer(self, lease: Claimed) -> None:
        attempt = Attempt(outcome=Outcome.ACCEPTED, at=self.now, ms=1)
        step = after_attempt(attempt, attempts=1, schedule=SCHEDULE, now=self.now, chance=lambda: 0.0)
        self.run(self.outbox.record([Recorded(lease, attempt, step)], now=self.now))
        self.known[lease.id].state, self.known[lease.id].due_at = State.ANSWERED, None
        self.release(self.known[lease.id])


@pytest.mark.slow
def test_outbox_does_what_its_model_does(database_url: str) -> None:
    """Same rows after every step, one callback of a bet at a time, and everything delivered in the end."""
    loop = asyncio.new_event_loop()
    pool = loop.run_until_complete(
        open_pool(database_url, schema="sportsbook", role=None, max_size=2, **PostgresOutbox.SESSION)
    )
    machine = type("Bound", (OutboxAgainstModel,), {"loop": loop, "pool": pool})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=30,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
    finally:
        loop.run_until_complete(pool.close())
        loop.close()
