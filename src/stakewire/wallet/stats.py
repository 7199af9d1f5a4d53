"""What the wallet counts, as plain numbers on the hot path; handed to Prometheus once a second.

A Prometheus histogram costs more per request than the signature check; a list of integers does not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import Final

BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds; the contract's senders give up after 5 s."""


class CallbackStats:
    """Since the last `take`: answers by (operator, action, code) and their latencies; right signatures by
    (operator, header name), since the contract's own examples misspell the header.
    """

    __slots__ = ("answers", "latency", "latency_sum", "signatures")

    def __init__(self) -> None:
        self.answers: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self.signatures: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.latency = [0] * (len(BUCKETS) + 1)
        self.latency_sum = 0.0

    def count(self, operator: str, action: str, code: str, seconds: float) -> None:
        """One answer left, `seconds` after its request was read."""
        self.answers[operator, action, code] += 1
        self.latency[bisect_left(BUCKETS, seconds)] += 1
        self.latency_sum += seconds

    def take(self) -> CallbackStats:
        """Everything counted so far; counting starts anew."""
        taken = CallbackStats()
        taken.answers, self.answers = self.answers, taken.answers
        taken.signatures, self.signatures = self.signatures, taken.signatures
        taken.latency, self.latency = self.latency, taken.latency
        taken.latency_sum, self.latency_sum = self.latency_sum, 0.0
        return taken
