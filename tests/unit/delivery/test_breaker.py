"""The circuit breaker of one lane, in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stakewire.delivery.breaker import Breaker, BreakerPolicy

POLICY = BreakerPolicy(failures_to_open=3, first_pause=1, longest_pause=10, first_window=4, widest_window=16)


def _opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(POLICY)
    for _ in range(POLICY.failures_to_open):
        breaker.failed(now)
    return breaker


def test_window_grows_with_success_up_to_its_bound() -> None:
    """A client is not met by everything at once, and never by more than its limit."""
    breaker = Breaker(POLICY)
    assert breaker.allowance(0) == POLICY.first_window
    for _ in range(100):
        breaker.succeeded()
    assert breaker.allowance(0) == POLICY.widest_window


def test_failures_in_a_row_open_it_and_a_success_between_does_not() -> None:
    """Two failures, a success, two failures: still closed; one more opens it."""
    breaker = Breaker(POLICY)
    for now in range(2):
        breaker.failed(now)
    breaker.succeeded()
    for now in range(2):
        breaker.failed(now)
    assert breaker.allowance(2) > 0
    breaker.failed(2)
    assert breaker.allowance(2) == 0


def test_open_breaker_lets_one_probe_through_when_its_pause_is_over() -> None:
    """None before, one after."""
    breaker = _opened()
    assert breaker.allowance(0.99) == 0
    assert breaker.allowance(1.0) == 1


def test_failed_probes_lengthen_the_pause_up_to_its_bound() -> None:
    """1, 2, 4, 8, 10, 10 ... seconds, for ten days, without giving up."""
    breaker, now, pauses = _opened(), 0.0, []
    while now < 10 * 86_400:
        until = breaker.open_until
        assert until is not None
        pauses.append(until - now)
        now = until
        breaker.failed(now)
    assert pauses[:6] == [1, 2, 4, 8, 10, 10]
    assert max(pauses) == 10


def test_late_failures_of_earlier_attempts_do_not_lengthen_the_pause() -> None:
    """Sixty attempts in flight when a client dies open the breaker once, not sixty times."""
    breaker = _opened()
    for _ in range(60):
        breaker.failed(0.5)
    assert breaker.open_until == 1.0


def test_successful_probe_closes_it_with_a_small_window() -> None:
    """The ramp begins anew."""
    breaker = _opened()
    breaker.succeeded()
    assert breaker.open_until is None
    assert breaker.allowance(1.0) == POLICY.first_window


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=60))
def test_it_never_stays_shut(events: list[tuple[bool, float]]) -> None:
    """Whatever happened, an attempt is allowed again within the longest pause."""
    breaker, now = Breaker(POLICY), 0.0
    for success, wait in events:
        now += wait
        if success:
            breaker.succeeded()
        else:
            breaker.failed(now)
    assert 1 <= breaker.allowance(now + POLICY.longest_pause) <= POLICY.widest_window
