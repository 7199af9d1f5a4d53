"""Token buckets and trusted proxies."""

from __future__ import annotations

from stakewire.net.ratelimit import RateLimiter
from stakewire.testing import ManualClock


def test_burst_then_steady_refill() -> None:
    """A key has its burst at once, then one more for every refilled token; others are not touched."""
    clock = ManualClock()
    limiter = RateLimiter(per_minute=60, burst=3, clock=clock)
    assert [limiter.allow("a") for _ in range(4)] == [True, True, True, False]
    assert limiter.exhausted("a")
    assert limiter.retry_after_seconds("a") >= 1
    assert limiter.allow("b")
    clock.advance(1.0)
    assert [limiter.allow("a") for _ in range(2)] == [True, False]
    clock.advance(3600)
    assert [limiter.allow("a") for _ in range(4)] == [True, True, True, False]


def test_being_refused_does_not_prolong_the_wait() -> None:
    """Asking while exhausted takes nothing away: the refill goes on."""
    clock = ManualClock()
    limiter = RateLimiter(per_minute=60, burst=1, clock=clock)
    assert limiter.allow("a")
    for _ in range(4):
        clock.advance(0.25)
        last = limiter.allow("a")
    assert last


def test_table_is_bounded() -> None:
    """A flood of keys forgets the least used ones; the memory does not grow."""
    limiter = RateLimiter(per_minute=60, burst=1, clock=ManualClock(), max_keys=100)
    for number in range(1000):
        limiter.allow(f"k{number}")
    assert len(limiter) == 100
