"""The recorder: the database may be away, or refuse one row; nothing else is held up or lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from stakewire.clock import SystemClock
from stakewire.delivery.outbox import Claimed, Recorded, Written
from stakewire.delivery.outcome import Attempt, Outcome
from stakewire.delivery.state import State, Step
from stakewire.postgres.outbox.store import PostgresOutbox
from stakewire.sportsbook.delivery.recorder import MAX_WAITING, Recorder

CLOCK = SystemClock()


def _accepted(claimed: Claimed, own_id: str = "w-1") -> Recorded:
    attempt = Attempt(outcome=Outcome.ACCEPTED, at=CLOCK.now(), ms=1, client_transaction_id=own_id)
    return Recorded(claimed, attempt, Step(State.ANSWERED))


async def _claimed(outbox: PostgresOutbox, count: int) -> list[Claimed]:
    now = CLOCK.now()
    return await outbox.claim(1, now=now, until=now + timedelta(minutes=1), limit=count, worker="w")


async def test_row_that_is_refused_takes_no_other_with_it(write: Any, outbox: Any, states: Any) -> None:
    """One attempt in the middle of a hundred holds what no text column takes."""
    await write(*(write.new() for _ in range(100)))
    claims = await _claimed(outbox, 100)
    recorder = Recorder(outbox, CLOCK, asyncio.Event())
    running = asyncio.create_task(recorder.run())
    for number, claimed in enumerate(claims):
        recorder.put(_accepted(claimed, "\x00" if number == 50 else "w-1"))
    await recorder.flushed()
    running.cancel()
    counted = await states(*(claimed.id for claimed in claims))
    assert (counted.count("answered"), counted.count("sending")) == (99, 1)


class Away(PostgresOutbox):
    """The real outbox behind a database that is away for some calls: before them, or after their COMMIT."""

    def __init__(self, pool: Any, faults: list[str]) -> None:
        super().__init__(pool)
        self.faults = faults

    async def record(self, batch: Any, *, now: Any) -> Written:
        fault = self.faults.pop(0) if self.faults else None
        if fault == "before":
            raise ConnectionError("the database is away")
        written = await super().record(batch, now=now)
        if fault == "after":
            raise ConnectionError("the connection was lost at COMMIT")
        return written


async def test_unknown_commit_is_repeated_and_counts_once(write: Any, pool: Any, states: Any) -> None:
    """Lost before it and lost after it look the same, and the second telling changes nothing."""
    outbox = Away(pool, ["before", "after", "after"])
    [first] = await write(write.new(bet_id=9))
    [second] = await write(write.new(bet_id=9))
    recorder = Recorder(outbox, CLOCK, asyncio.Event())
    running = asyncio.create_task(recorder.run())
    recorder.put(_accepted((await _claimed(outbox, 1))[0]))
    await recorder.flushed()
    running.cancel()
    assert await states(first, second) == ["answered", "due"]
    assert await pool.fetchval("SELECT count(*) FROM callback_attempt") == 1


async def test_lanes_wait_when_too_much_is_unwritten(write: Any, pool: Any) -> None:
    """Memory is bounded while the database is away; there is room again once it is back."""
    await write(write.new())
    outbox = Away(pool, ["before"] * 3)
    [claimed] = await _claimed(outbox, 1)
    recorder = Recorder(outbox, CLOCK, asyncio.Event())
    for _ in range(MAX_WAITING):
        recorder.put(_accepted(claimed))
    assert not recorder.has_room
    running = asyncio.create_task(recorder.run())
    await recorder.room()
    await recorder.flushed()
    running.cancel()
