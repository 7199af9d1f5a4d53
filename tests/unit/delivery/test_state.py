"""The one step an attempt makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stakewire.delivery.action import Action
from stakewire.delivery.outcome import MAX_KEPT_TEXT, Attempt, Outcome, storable
from stakewire.delivery.schedule import RetrySchedule
from stakewire.delivery.state import State, Step, after_attempt, after_bet, first_state

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NOT_ANSWERED = [outcome for outcome in Outcome if outcome is not Outcome.ACCEPTED]


def _attempt(outcome: Outcome) -> Attempt:
    return Attempt(outcome=outcome, at=NOW, ms=3)


@pytest.mark.parametrize("outcome", NOT_ANSWERED)
def test_result_is_retried_after_any_answer_but_the_right_one(outcome: Outcome) -> None:
    """A definite decline of a result is no end either: results must be processed."""
    step = after_attempt(
        _attempt(outcome), attempts=1, schedule=RetrySchedule((0, 7)), now=NOW, chance=lambda: 0.0
    )
    assert step == Step(State.DUE, NOW + timedelta(seconds=7))


@pytest.mark.parametrize("outcome", NOT_ANSWERED)
def test_bet_that_is_not_accepted_is_at_its_end(outcome: Outcome) -> None:
    """Declined or unknown: never sent again."""
    assert after_bet(_attempt(outcome)) is State.FINAL


def test_accepted_bet_is_answered() -> None:
    """Its result may go out."""
    assert after_bet(_attempt(Outcome.ACCEPTED)) is State.ANSWERED


def test_callback_behind_an_open_one_is_written_blocked() -> None:
    """Order per bet begins when it is written."""
    assert first_state(Action.RESULT, earlier_open=True) is State.BLOCKED
    assert first_state(Action.ROLLBACK, earlier_open=False) is State.DUE


def test_bet_is_written_as_being_sent() -> None:
    """Whoever finds it later without an answer must not send it."""
    assert first_state(Action.BET, earlier_open=False) is State.SENDING


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("OK-1", "OK-1"),
        ("naïve ✓", "naïve ✓"),
        ("a\x00b", "a\\x00b"),
        ("\ud800", "\\ud800"),
        ("\x1b[31m", "\\x1b[31m"),
        ("two\nlines", "two\\nlines"),
    ],
)
def test_peers_text_is_kept_in_a_form_everything_can_show(text: str, kept: str) -> None:
    """NUL and lone surrogates would be refused by the database; control codes would reach a terminal."""
    assert storable(text) == kept


def test_peers_text_is_bounded() -> None:
    """Escapes included."""
    assert len(storable("\x00" * 100_000)) <= MAX_KEPT_TEXT
    assert len(storable("x" * 100_000)) == MAX_KEPT_TEXT
