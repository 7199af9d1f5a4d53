"""The outbox on PostgreSQL: order per bet, leases, fences, and nothing lost between two sessions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from stakewire.delivery.action import Action
from stakewire.delivery.outbox import BatchRefused, Claimed, Recorded
from stakewire.delivery.outcome import Attempt, Outcome
from stakewire.delivery.state import State, Step
from stakewire.postgres.outbox.store import end_lost_bets, record_bet_attempt

LEASE = timedelta(seconds=30)


@pytest.fixture
def now(write: Any) -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 3, 1, 12, tzinfo=UTC)


def _recorded(claimed: Claimed, now: Any, outcome: Outcome = Outcome.ACCEPTED, **values: Any) -> Recorded:
    attempt = Attempt(outcome=outcome, at=now, ms=4, address="127.0.0.1", status=200, **values)
    step = Step(State.ANSWERED) if attempt.answered else Step(State.DUE, now + timedelta(seconds=5))
    return Recorded(claimed, attempt, step)


async def _claim(
    outbox: Any, now: Any, limit: int = 10, client: int = 1, worker: str = "w1"
) -> list[Claimed]:
    return list(await outbox.claim(client, now=now, until=now + LEASE, limit=limit, worker=worker))


async def test_what_the_callers_transaction_takes_back_was_never_enqueued(
    pool: Any, write: Any, outbox: Any
) -> None:
    """A callback stands or falls with the decision it was written beside."""
    async with pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await write.within(conn, write.new())
        await transaction.rollback()
    assert await outbox.waiting() == []


async def test_bytes_go_in_and_come_out_the_same(write: Any, outbox: Any, now: Any) -> None:
    """Whatever they are: the signature is over them."""
    body = bytes(range(256))
    [written] = await write(write.new(body=body))
    [claimed] = await _claim(outbox, now)
    assert (claimed.id, claimed.body, claimed.attempts) == (written, body, 1)


async def test_callbacks_of_a_bet_go_one_after_another(
    write: Any, outbox: Any, states: Any, now: Any
) -> None:
    """Two corrections at once: the second waits until the first is answered, the third for the second."""
    first = await write(write.new(bet_id=9))
    rest = await write(write.new(Action.ROLLBACK, bet_id=9), write.new(bet_id=9))
    for expected in (["sending", "blocked", "blocked"], ["answered", "sending", "blocked"]):
        [claimed] = await _claim(outbox, now)
        assert await states(*first, *rest) == expected
        assert (await outbox.record([_recorded(claimed, now)], now=now)).taken == 1
    [claimed] = await _claim(outbox, now)
    assert claimed.id == rest[1]


async def test_what_failed_keeps_those_behind_it_waiting(write: Any, outbox: Any, now: Any) -> None:
    """Only an answer lets the next one go, however long it takes."""
    await write(write.new(bet_id=9), write.new(Action.ROLLBACK, bet_id=9))
    [claimed] = await _claim(outbox, now)
    await outbox.record([_recorded(claimed, now, Outcome.NO_ANSWER)], now=now)
    assert await _claim(outbox, now + timedelta(seconds=4)) == []
    [again] = await _claim(outbox, now + timedelta(seconds=5))
    assert (again.id, again.attempts) == (claimed.id, 2)


async def test_callback_enqueued_while_the_one_before_is_being_recorded_is_not_forgotten(
    pool: Any, write: Any, outbox: Any, states: Any, now: Any
) -> None:
    """The writer holds the bet's open callback; the recording waits for it and then sees what came behind."""
    [first] = await write(write.new(bet_id=9))
    [claimed] = await _claim(outbox, now)
    async with pool.acquire() as conn, conn.transaction():
        [second] = await write.within(conn, write.new(Action.ROLLBACK, bet_id=9))
        recording = asyncio.create_task(outbox.record([_recorded(claimed, now)], now=now))
        await _waits_for_a_lock(pool)
    await recording
    assert await states(first, second) == ["answered", "due"]


async def test_callback_enqueued_while_a_recording_commits_is_due_at_once(
    pool: Any, write: Any, outbox: Any, states: Any, now: Any
) -> None:
    """The other order: the recorder holds the row, the writer waits, and then finds it answered."""
    [first] = await write(write.new(bet_id=9))
    await _claim(outbox, now)
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("UPDATE callback SET state = 'answered', due_at = NULL WHERE id = $1", first)
        writing = asyncio.create_task(write(write.new(Action.ROLLBACK, bet_id=9)))
        await _waits_for_a_lock(pool)
    [second] = await writing
    assert await states(first, second) == ["answered", "due"]


async def _waits_for_a_lock(pool: Any) -> None:
    async with asyncio.timeout(20):
        while not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.005)


async def test_claims_at_the_same_moment_never_share_a_callback(write: Any, outbox: Any, now: Any) -> None:
    """Eight workers, one queue: every callback is leased to exactly one."""
    written = await write(*(write.new() for _ in range(400)))
    claims = await asyncio.gather(*(_claim(outbox, now, 60, worker=f"w{n}") for n in range(8)))
    claimed = [one.id for claim in claims for one in claim]
    assert len(claimed) == len(set(claimed))
    rest = await _claim(outbox, now, 400)
    assert sorted([*claimed, *(one.id for one in rest)]) == sorted(written)


async def test_lease_that_ran_out_is_claimed_again_and_its_old_holder_changes_nothing(
    write: Any, outbox: Any, states: Any, now: Any
) -> None:
    """A worker that slept through its lease may report: it is kept to be shown, and decides nothing."""
    [written] = await write(write.new())
    [stale] = await _claim(outbox, now, worker="sleeper")
    assert await _claim(outbox, now + LEASE - timedelta(seconds=1)) == []
    later = now + LEASE
    [fresh] = await _claim(outbox, later, worker="other")
    assert (await outbox.record([_recorded(stale, later)], now=later)).taken == 0
    assert await states(written) == ["sending"]
    assert (await outbox.record([_recorded(fresh, later)], now=later)).taken == 1
    assert await states(written) == ["answered"]


async def test_recording_twice_is_recording_once(write: Any, outbox: Any, pool: Any, now: Any) -> None:
    """A recorder whose COMMIT was lost on the way says everything again."""
    await write(write.new(bet_id=9), write.new(bet_id=9))
    [claimed] = await _claim(outbox, now)
    recorded = _recorded(claimed, now, client_transaction_id="w-1", answer=b"{}")
    assert [(await outbox.record([recorded], now=now)).taken for _ in range(2)] == [1, 0]
    assert await pool.fetchval("SELECT count(*) FROM callback_attempt") == 1


async def test_claim_given_back_was_no_attempt(write: Any, outbox: Any, now: Any) -> None:
    """It is due again at once, and the schedule does not count it."""
    await write(write.new())
    claims = await _claim(outbox, now)
    await outbox.give_back(claims, now=now)
    [again] = await _claim(outbox, now)
    assert again.attempts == 1


async def test_row_the_database_cannot_hold_is_refused_by_name(write: Any, outbox: Any, now: Any) -> None:
    """So that the recorder can tell it from a database that is away."""
    await write(write.new())
    [claimed] = await _claim(outbox, now)
    with pytest.raises(BatchRefused):
        await outbox.record([_recorded(claimed, now, client_transaction_id="\x00")], now=now)


async def test_bet_is_never_claimed(write: Any, outbox: Any, now: Any) -> None:
    """Not today, not after any lease, not when its process died."""
    await write(write.new(Action.BET, bet_id=9))
    assert await outbox.waiting() == []
    assert await _claim(outbox, now + timedelta(days=400)) == []


@pytest.mark.parametrize("enqueue_first", [True, False])
@pytest.mark.parametrize("outcome", [Outcome.NO_ANSWER, Outcome.UNDECIDED, Outcome.NOT_SENT])
async def test_bet_without_an_answer_is_final_and_its_rollback_due_in_the_same_transaction(
    pool: Any, write: Any, states: Any, now: Any, outcome: Outcome, enqueue_first: bool
) -> None:
    """In whichever order the caller writes the two."""
    [bet] = await write(write.new(Action.BET, bet_id=9))
    attempt = Attempt(outcome=outcome, at=now, ms=5000, reason="nothing came")
    async with pool.acquire() as conn, conn.transaction():
        if enqueue_first:
            [rollback] = await write.within(conn, write.new(Action.ROLLBACK, bet_id=9))
        assert await record_bet_attempt(conn, bet, attempt)
        if not enqueue_first:
            [rollback] = await write.within(conn, write.new(Action.ROLLBACK, bet_id=9))
    assert await states(bet, rollback) == ["final", "due"]


async def test_rollback_waits_while_its_bet_is_in_flight(write: Any, outbox: Any, now: Any) -> None:
    """Never beside an attempt of the same bet."""
    await write(write.new(Action.BET, bet_id=9))
    await write(write.new(Action.ROLLBACK, bet_id=9))
    assert await _claim(outbox, now) == []


async def test_answer_after_the_deadline_changes_nothing_and_is_kept(
    pool: Any, write: Any, states: Any, now: Any
) -> None:
    """The bet was given up; the late success is there to be shown, and the rollback goes on."""
    [bet] = await write(write.new(Action.BET, bet_id=9))
    async with pool.acquire() as conn, conn.transaction():
        [rollback] = await write.within(conn, write.new(Action.ROLLBACK, bet_id=9))
        assert await end_lost_bets(conn, [9], reason="no answer was recorded", now=now) == 1
        assert await end_lost_bets(conn, [9], reason="no answer was recorded", now=now) == 0
    late = Attempt(outcome=Outcome.ACCEPTED, at=now, ms=9000, client_transaction_id="w-9")
    async with pool.acquire() as conn, conn.transaction():
        assert not await record_bet_attempt(conn, bet, late)
    assert await states(bet, rollback) == ["final", "due"]
    assert (
        await pool.fetchval("SELECT outcome FROM callback_attempt WHERE callback_id = $1", bet) == "accepted"
    )


async def test_accepted_bet_lets_its_result_go(pool: Any, write: Any, states: Any, now: Any) -> None:
    """Result never before its bet's answer."""
    [bet] = await write(write.new(Action.BET, bet_id=9))
    [result] = await write(write.new(bet_id=9))
    assert await states(result) == ["blocked"]
    async with pool.acquire() as conn, conn.transaction():
        await record_bet_attempt(conn, bet, Attempt(outcome=Outcome.ACCEPTED, at=now, ms=3))
    assert await states(bet, result) == ["answered", "due"]


async def test_transaction_id_is_used_once_per_client(write: Any) -> None:
    """The same decision taken twice meets itself here, not at the player's wallet."""
    await write(write.new(transaction_id="5-result-1"))
    await write(write.new(transaction_id="5-result-1", client_id=2))
    with pytest.raises(asyncpg.UniqueViolationError):
        await write(write.new(transaction_id="5-result-1"))


async def test_waiting_names_each_client_once_with_its_earliest_time(
    write: Any, outbox: Any, now: Any
) -> None:
    """Whatever the queue's length."""
    for client in (3, 1, 2):
        await write(*(write.new(client_id=client) for _ in range(5)), now=now + timedelta(seconds=client))
    waiting = await outbox.waiting()
    assert [(one.client_id, one.due_at) for one in waiting] == [
        (client, now + timedelta(seconds=client)) for client in (1, 2, 3)
    ]


async def test_role_of_the_sportsbook_cannot_rewrite_attempts(
    pool: Any, write: Any, outbox: Any, now: Any
) -> None:
    """Proof is append-only by privilege, and no callback can be deleted."""
    await write(write.new())
    [claimed] = await _claim(outbox, now)
    await outbox.record([_recorded(claimed, now)], now=now)
    for statement in (
        "UPDATE callback_attempt SET outcome = 'accepted'",
        "DELETE FROM callback_attempt",
        "DELETE FROM callback",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_unanswered_sums_up_what_is_at_risk(write: Any, outbox: Any, now: Any) -> None:
    """Queue, bets in flight and what is blocked; what is answered is gone from it."""
    await write(write.new(Action.BET, bet_id=1, amount_minor=10**30))
    await write(write.new(bet_id=1, amount_minor=7))
    await write(write.new(amount_minor=100), write.new(amount_minor=200))
    [claimed] = await _claim(outbox, now, limit=1)
    await outbox.record([_recorded(claimed, now)], now=now)
    lines = {
        (line.action, line.state): (line.callbacks, line.amount_minor) for line in await outbox.unanswered()
    }
    left = 300 - (100 if lines[Action.RESULT, State.DUE][1] == 200 else 200)
    assert lines == {
        (Action.BET, State.SENDING): (1, 10**30),
        (Action.RESULT, State.BLOCKED): (1, 7),
        (Action.RESULT, State.DUE): (1, left),
    }
