"""How often somebody may do something: token buckets by key, in a table that cannot grow without end."""

from __future__ import annotations

from collections import OrderedDict

from stakewire.clock import Clock


class RateLimiter:
    """`burst` acts at once per key, refilled evenly with `per_minute`; at most `max_keys` are remembered.

    A key that is forgotten to make room for others starts anew: with enough addresses an attacker
    gets more than its share, but never our memory.
    """

    def __init__(self, *, per_minute: float, burst: int, clock: Clock, max_keys: int = 10_000) -> None:
        self._per_second = per_minute / 60
        self._burst = float(burst)
        self._monotonic = clock.monotonic
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, key: str) -> bool:
        """Take one token of `key`; false if there is none left."""
        left = self._level(key)
        allowed = left >= 1.0
        self._buckets[key] = (left - 1.0 if allowed else left, self._monotonic())
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        return allowed

    def exhausted(self, key: str) -> bool:
        """Whether `allow` would say no, without taking anything."""
        return self._level(key) < 1.0

    def retry_after_seconds(self, key: str) -> int:
        """Whole seconds, at least 1, until `key` has a token again."""
        missing = 1.0 - self._level(key)
        return max(1, int(missing / self._per_second) + 1) if missing > 0 else 1

    def _level(self, key: str) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._burst
        level, at = bucket
        return min(self._burst, level + (self._monotonic() - at) * self._per_second)
