"""The circuit breaker of one client's lane: how many attempts may be in flight now."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """Seconds and counts; the defaults probe a dead client every 10 s at the slowest."""

    failures_to_open: int = 5
    first_pause: float = 1.0
    longest_pause: float = 10.0
    first_window: int = 8
    widest_window: int = 64


class Breaker:
    """Closed: a window of attempts, wider with each success. Open: none. Then one probe at a time.

    Only silence and nonsense count as failures; a client that answers with a code is alive.
    The window starts small, so that a client that comes back after a long outage is not met by
    everything at once, and a dead one never holds more than a few sockets. Time is passed in
    as monotonic seconds.
    """

    __slots__ = ("_failures", "_open_until", "_pause", "_policy", "_window")

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._pause = policy.first_pause
        self._open_until: float | None = None
        self._window = policy.first_window

    def allowance(self, now: float) -> int:
        """How many attempts may be in flight at `now`: 0 while open, 1 while probing."""
        if self._open_until is None:
            return self._window
        return 0 if now < self._open_until else 1

    @property
    def open_until(self) -> float | None:
        """When the next probe may go; None while closed."""
        return self._open_until

    def succeeded(self) -> None:
        """The peer spoke the contract: close, and widen the window."""
        if self._open_until is not None:
            self._open_until = None
            self._pause = self._policy.first_pause
            self._window = self._policy.first_window
        elif self._window < self._policy.widest_window:
            self._window += 1
        self._failures = 0

    def failed(self, now: float) -> None:
        """Silence or nonsense: after enough of it in a row, open; a failed probe opens for longer.

        Failures that arrive while open belong to attempts sent before and change nothing.
        """
        if self._open_until is not None:
            if now >= self._open_until:
                self._pause = min(2 * self._pause, self._policy.longest_pause)
                self._open_until = now + self._pause
            return
        self._failures += 1
        if self._failures >= self._policy.failures_to_open:
            self._open_until = now + self._pause
