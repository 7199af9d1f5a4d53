"""What delivery shows of itself: attempts by outcome, latency, the queue, and the money that waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stakewire.delivery.outbox import QueueLine
from stakewire.delivery.outcome import Outcome

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """One line of the queue, with its client's name."""

    client: str
    line: QueueLine


class DeliveryMetrics:
    """The numbers of one process; the gauges show the whole queue, as read from the database."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "stakewire_callback_attempts_total",
            "Attempts to deliver a callback, by what is known afterwards.",
            ("action", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "stakewire_callback_attempt_seconds",
            "Time from sending a callback to its answer or the end of the attempt.",
            ("action",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._depth = self._gauge(
            registry, "callbacks_unanswered", "Callbacks without a final answer.", "state"
        )
        self._age = self._gauge(
            registry, "callback_oldest_seconds", "Age of the oldest callback without a final answer.", "state"
        )
        self._money = self._gauge(
            registry,
            "callback_unanswered_minor",
            "Money at risk: amounts of callbacks without a final answer, in minor units.",
            "action",
            "currency",
        )
        # Bound children: looking labels up costs more than counting.
        self._counts = {
            (action, outcome): self._attempts.labels(action, outcome.value)
            for action in ("bet", "result", "rollback")
            for outcome in Outcome
        }
        self._times = {action: self._seconds.labels(action) for action in ("bet", "result", "rollback")}
        self._shown_depth: set[tuple[str, str]] = set()
        self._shown_age: set[tuple[str, str]] = set()
        self._shown_money: set[tuple[str, str, str]] = set()

    @staticmethod
    def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(
            f"stakewire_{name}", text, ("client", *labels), registry=registry, multiprocess_mode="mostrecent"
        )

    def attempted(self, action: str, outcome: Outcome, ms: int) -> None:
        """Count one attempt."""
        self._counts[action, outcome].inc()
        self._times[action].observe(ms / 1000)

    def show_queue(self, rows: Iterable[Unanswered], now: datetime) -> None:
        """Replace the gauges by what is unanswered now; what is gone from the queue goes to zero."""
        depth: dict[tuple[str, str], int] = {}
        age: dict[tuple[str, str], float] = {}
        money: dict[tuple[str, str, str], int] = {}
        for row in rows:
            line = row.line
            place = (row.client, line.state.value)
            depth[place] = depth.get(place, 0) + line.callbacks
            age[place] = max(age.get(place, 0.0), (now - line.oldest).total_seconds())
            purse = (row.client, line.action.value, line.currency)
            money[purse] = money.get(purse, 0) + line.amount_minor
        _replace(self._depth, self._shown_depth, depth)
        _replace(self._age, self._shown_age, age)
        _replace(self._money, self._shown_money, money)


Labels = TypeVar("Labels", bound=tuple[str, ...])


def _replace(gauge: Gauge, shown: set[Labels], values: Mapping[Labels, float]) -> None:
    """Set the gauge to `values`, and what it showed before to zero; as many as clients and states."""
    for labels in shown - values.keys():
        gauge.labels(*labels).set(0)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    shown.update(values)
