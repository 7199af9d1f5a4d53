"""The wallet's Prometheus metrics: what is answered and how fast, batches, queue, money at risk.

Counters are plain numbers on the hot path (`stats.py`), added here once a second and before each scrape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stakewire.wallet.lane import BatchReport
from stakewire.wallet.stats import BUCKETS, CallbackStats

BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
BATCH_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


class WalletMetrics:
    """Everything the wallet exports, on one registry (several workers: Prometheus' multiprocess mode)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "stakewire_wallet_answers",
            "Callbacks answered; INTERNAL_ERROR are the unknown ones",
            ("operator", "action", "code"),
            registry=registry,
        )
        self._signatures = Counter(
            "stakewire_wallet_signatures",
            "Rightly signed callbacks, by the header that the signature came under",
            ("operator", "header"),
            registry=registry,
        )
        self._latency = Histogram(
            "stakewire_wallet_answer_seconds",
            "From the last byte of a callback to its answer, the COMMIT included",
            buckets=BUCKETS,
            registry=registry,
        )
        self._batch_size = Histogram(
            "stakewire_wallet_batch_size",
            "Callbacks committed together",
            buckets=BATCH_SIZES,
            registry=registry,
        )
        self._batch_seconds = Histogram(
            "stakewire_wallet_batch_seconds",
            "From the start of a batch until it was durable",
            buckets=BATCH_SECONDS,
            registry=registry,
        )
        self._locked = Counter(
            "stakewire_wallet_locked_batches", "Batches decided under row locks", registry=registry
        )
        self._unavailable = Counter(
            "stakewire_wallet_unavailable", "Callbacks whose batch was given up", registry=registry
        )
        self.queue_depth = Gauge(
            "stakewire_wallet_queue_depth",
            "Callbacks waiting for a batch",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.queue_age = Gauge(
            "stakewire_wallet_queue_age_seconds",
            "Age of the callback that waits longest",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._owed = Gauge(
            "stakewire_wallet_owed_amount",
            "Sum of negative balances, in whole units: money paid out and taken back later",
            ("currency",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._owing = Gauge(
            "stakewire_wallet_owing_accounts",
            "Accounts below zero",
            ("currency",),
            registry=registry,
            multiprocess_mode="livemax",
        )

        self._currencies: set[str] = set()  # shown once, so shown as 0 from then on

    def add(self, stats: CallbackStats) -> None:
        """Add what was counted since the last time, and start the counting anew."""
        taken = stats.take()
        for (operator, action, code), number in taken.answers.items():
            self._answers.labels(operator, action, code).inc(number)
        for (operator, header), number in taken.signatures.items():
            self._signatures.labels(operator, header).inc(number)
        # A histogram has no public way to take many observations at once; these two are what `observe` does.
        for bucket, number in zip(self._latency._buckets, taken.latency, strict=True):
            if number:
                bucket.inc(number)
        self._latency._sum.inc(taken.latency_sum)

    def observe_batch(self, report: BatchReport) -> None:
        """Count one batch; called by the committer."""
        self._batch_size.observe(report.size)
        self._batch_seconds.observe(report.seconds)
        if report.locked:
            self._locked.inc()
        if report.unavailable:
            self._unavailable.inc(report.unavailable)

    def set_debts(self, debts: Sequence[tuple[str, int, float]]) -> None:
        """Show (currency, accounts below zero, their sum as a positive number of whole units)."""
        current = {currency: (accounts, owed) for currency, accounts, owed in debts}
        self._currencies |= current.keys()
        for currency in self._currencies:
            accounts, owed = current.get(currency, (0, 0.0))
            self._owing.labels(currency).set(accounts)
            self._owed.labels(currency).set(owed)
