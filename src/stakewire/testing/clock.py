"""A clock that moves only when told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_DEFAULT_START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class ManualClock:
    """A `stakewire.clock.Clock` for tests: `now` and `monotonic` advance together, by hand."""

    def __init__(self, start: datetime = _DEFAULT_START) -> None:
        """Start at `start`, which must know its time zone.

        Raises:
            ValueError: `start` is naive.
        """
        if start.tzinfo is None:
            raise ValueError("ManualClock needs an aware datetime, for example datetime(..., tzinfo=UTC)")
        self._now = start.astimezone(UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._now

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks.

        Raises:
            ValueError: `seconds` is negative; to move the wall clock back, use `set_wall_clock`.
        """
        if seconds < 0:
            raise ValueError("time does not go back; set_wall_clock moves the wall clock alone")
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set_wall_clock(self, now: datetime) -> None:
        """Move the wall clock alone, as an administrator or a leap may do; `monotonic` stays."""
        self._now = now.astimezone(UTC)
