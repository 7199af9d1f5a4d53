"""The schedule of the contract, walked through in virtual time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.delivery.action import Action
from stakewire.delivery.outcome import Attempt, Outcome
from stakewire.delivery.schedule import SCHEDULES, UNTIL_ANSWERED, RetrySchedule
from stakewire.delivery.state import State, Step, after_attempt
from stakewire.wire.sportsbook.profile import RETRY_SCHEDULE

START = datetime(2026, 3, 1, tzinfo=UTC)
TEN_DAYS = timedelta(days=10)


def _attempt(outcome: Outcome, at: datetime) -> Attempt:
    return Attempt(outcome=outcome, at=at, ms=1)


def _live(
    schedule: RetrySchedule, *, answer_at: datetime | None, chance: float = 0.0
) -> tuple[list[float], Step]:
    """Ten days of one callback whose client answers from `answer_at` on: the times sent, and its end."""
    now, sent = START, []
    step = Step(State.DUE, START)
    while step.due_at is not None and step.due_at <= START + TEN_DAYS:
        now = step.due_at
        sent.append((now - START).total_seconds())
        outcome = Outcome.ACCEPTED if answer_at is not None and now >= answer_at else Outcome.NO_ANSWER
        step = after_attempt(
            _attempt(outcome, now), attempts=len(sent), schedule=schedule, now=now, chance=lambda: chance
        )
    return sent, step


def test_dead_client_is_tried_as_the_contract_says_and_then_parked() -> None:
    """0, 1, 5, 30 s, 2, 10, 30 min after each other, hourly for 7 days, then parked: never dropped."""
    sent, end = _live(UNTIL_ANSWERED, answer_at=None)
    assert sent[:7] == [0, 1, 6, 36, 156, 756, 2556]
    hours = [later - earlier for earlier, later in pairwise(sent[6:])]
    assert hours == [3600.0] * 168
    assert end == Step(State.PARKED)


def test_client_that_comes_back_after_days_gets_its_callback_once() -> None:
    """The first attempt after its return is answered, and none follows."""
    sent, end = _live(UNTIL_ANSWERED, answer_at=START + timedelta(days=5))
    assert end == Step(State.ANSWERED)
    assert timedelta(days=5) <= timedelta(seconds=sent[-1]) <= timedelta(days=5, hours=1)


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_only_ever_lengthens_a_wait_and_by_a_tenth_at_most(chance: float) -> None:
    """Waits stay in their order and the whole within the contract's week and a tenth."""
    for attempts, wait in enumerate(UNTIL_ANSWERED.waits):
        drawn = UNTIL_ANSWERED.wait_after(attempts, lambda: chance)
        assert drawn is not None
        assert wait <= drawn <= wait * 1.1


def test_callbacks_that_failed_together_do_not_come_back_together() -> None:
    """A thousand of them spread over a tenth of the wait."""
    rng = random.Random(1)
    waits = [UNTIL_ANSWERED.wait_after(6, rng.random) for _ in range(1000)]
    assert len(set(waits)) == 1000


def test_bet_has_one_attempt() -> None:
    """Nothing is left after the first send, whatever came of it."""
    assert SCHEDULES[Action.BET].wait_after(1, lambda: 0.5) is None


def test_the_default_profile_is_the_contracts_schedule() -> None:
    """What a profile leaves out is what delivery does by itself."""
    assert RetrySchedule.of(RETRY_SCHEDULE) == UNTIL_ANSWERED


@pytest.mark.parametrize("waits", [(), (-1.0,), (float("nan"),), (float("inf"),), (1.0,) * 1001])
def test_schedule_nobody_could_mean_is_refused(waits: tuple[float, ...]) -> None:
    """No attempt at all, waits that are no times, or too many of them."""
    with pytest.raises(ValueError, match="retry schedule"):
        RetrySchedule(waits)
