"""Time is passed in: nothing below the command line asks the system for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where code gets the time from. `stakewire.testing.ManualClock` is the twin for tests."""

    def now(self) -> datetime:
        """The wall clock as an aware datetime in UTC: for records, expiry and limits."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back: for waits and timeouts."""
        ...


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()
