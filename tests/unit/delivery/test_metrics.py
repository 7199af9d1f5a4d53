"""What delivery shows of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from stakewire.delivery.action import Action
from stakewire.delivery.outbox import QueueLine
from stakewire.delivery.outcome import Outcome
from stakewire.delivery.state import State
from stakewire.sportsbook.delivery.metrics import DeliveryMetrics, Unanswered

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _line(
    state: State, callbacks: int, amount_minor: int, age: int, action: Action = Action.RESULT
) -> Unanswered:
    oldest = NOW - timedelta(seconds=age)
    return Unanswered("casino", QueueLine(1, action, state, "EUR", callbacks, oldest, amount_minor))


def test_attempts_are_counted_by_what_is_known_afterwards() -> None:
    """One counter per action and outcome, and the time each took."""
    registry = CollectorRegistry()
    DeliveryMetrics(registry).attempted(Action.RESULT, Outcome.NO_ANSWER, 250)
    labels = {"action": "result", "outcome": "no_answer"}
    assert registry.get_sample_value("stakewire_callback_attempts_total", labels) == 1
    assert registry.get_sample_value("stakewire_callback_attempt_seconds_sum", {"action": "result"}) == 0.25


def test_queue_shows_depth_age_and_money_per_client() -> None:
    """The oldest counts for the age, and amounts of one action and currency add up over the states."""
    registry = CollectorRegistry()
    metrics = DeliveryMetrics(registry)
    metrics.show_queue([_line(State.DUE, 2, 500, 7), _line(State.PARKED, 1, 50, 90)], NOW)
    client = {"client": "casino"}
    assert registry.get_sample_value("stakewire_callbacks_unanswered", client | {"state": "due"}) == 2
    assert registry.get_sample_value("stakewire_callback_oldest_seconds", client | {"state": "parked"}) == 90
    money = client | {"action": "result", "currency": "EUR"}
    assert registry.get_sample_value("stakewire_callback_unanswered_minor", money) == 550


def test_drained_queue_shows_zero() -> None:
    """An alert on the age must end by itself."""
    registry = CollectorRegistry()
    metrics = DeliveryMetrics(registry)
    metrics.show_queue([_line(State.DUE, 2, 500, 7)], NOW)
    metrics.show_queue([], NOW)
    for name in ("callbacks_unanswered", "callback_oldest_seconds"):
        assert registry.get_sample_value(f"stakewire_{name}", {"client": "casino", "state": "due"}) == 0
