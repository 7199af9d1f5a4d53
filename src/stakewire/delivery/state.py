"""The life of a callback, and the one step an attempt makes in it.

    blocked --(the one before it of its bet is answered or final)--> due
    due     --(claimed by a worker, under a lease)-----------------> sending
    sending --(answered)-------------------------------------------> answered
    sending --(any other outcome, waits left)----------------------> due, later
    sending --(any other outcome, no wait left)--------------------> parked
    sending --(the lease ran out: its worker died)-----------------> sending, by another worker
    parked  --(sent again on demand)-------------------------------> due

A bet's callback is born `sending` in the transaction that placed the bet, is never claimed by
a worker, and ends as `answered` (accepted) or `final` (anything else, a lost process included).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from stakewire.delivery.action import Action
from stakewire.delivery.outcome import Attempt
from stakewire.delivery.schedule import Chance, RetrySchedule


class State(StrEnum):
    """Where a callback is; the words are those of the database and of `callbacks list --state`."""

    BLOCKED = "blocked"
    DUE = "due"
    SENDING = "sending"
    ANSWERED = "answered"
    PARKED = "parked"
    FINAL = "final"


ENDED = frozenset({State.ANSWERED, State.FINAL})
"""States that never change again and let the next callback of the same bet go."""


@dataclass(frozen=True, slots=True)
class Step:
    """The state after an attempt, and when it is due again (only for `due`)."""

    state: State
    due_at: datetime | None = None


def first_state(action: Action, *, earlier_open: bool) -> State:
    """The state a callback is written in; `earlier_open`: one before it of its bet has not ended."""
    if action == Action.BET:  # or the wire's word for it
        return State.SENDING
    return State.BLOCKED if earlier_open else State.DUE


def after_attempt(
    attempt: Attempt, *, attempts: int, schedule: RetrySchedule, now: datetime, chance: Chance
) -> Step:
    """The step of a result or rollback: retried after any answer but the right one.

    `attempts` counts this one and those before it in the present run through the schedule.
    """
    if attempt.answered:
        return Step(State.ANSWERED)
    wait = schedule.wait_after(attempts, chance)
    if wait is None:
        return Step(State.PARKED)
    return Step(State.DUE, now + timedelta(seconds=wait))


def after_bet(attempt: Attempt) -> State:
    """A bet is never sent again: accepted, or at its end."""
    return State.ANSWERED if attempt.answered else State.FINAL
