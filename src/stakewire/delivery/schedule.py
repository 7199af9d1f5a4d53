"""When a callback is sent again: the waits are data, so that a profile can replace them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stakewire.delivery.action import Action

HOUR = 3600.0
MAX_WAITS = 1000  # a schedule comes from a profile file: bound what it can ask for
MAX_WAIT = 30 * 24 * HOUR

Chance = Callable[[], float]
"""Gives a number in [0, 1): `random.Random(...).random`, or a constant in a test."""


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The waits before each attempt, in seconds; no wait left means parked, never dropped.

    `waits[0]` is the wait before the first attempt (0: at once), `waits[k]` the wait after
    the k-th attempt has failed. Each wait is lengthened by up to `jitter` of itself, so that
    a thousand callbacks that failed together do not come back together; it is never shortened.
    """

    waits: tuple[float, ...]
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= len(self.waits) <= MAX_WAITS:
            raise ValueError(f"a retry schedule has 1 to {MAX_WAITS} waits, not {len(self.waits)}")
        if any(not 0 <= wait <= MAX_WAIT for wait in self.waits):
            raise ValueError(f"every wait of a retry schedule is between 0 and {MAX_WAIT:.0f} seconds")

    @classmethod
    def of(cls, seconds: Sequence[float]) -> RetrySchedule:
        """The schedule that a profile writes as a list of seconds."""
        return cls(tuple(float(wait) for wait in seconds))

    def wait_after(self, attempts: int, chance: Chance) -> float | None:
        """Seconds until the next attempt when `attempts` were made in vain; None when none is left."""
        if attempts >= len(self.waits):
            return None
        return self.waits[attempts] * (1 + self.jitter * chance())


ONCE = RetrySchedule((0.0,))
UNTIL_ANSWERED = RetrySchedule((0.0, 1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, *(HOUR,) * (7 * 24)))

SCHEDULES = {
    Action.BET: ONCE,  # the contract sends a bet once; without an answer its rollback follows
    Action.RESULT: UNTIL_ANSWERED,
    Action.ROLLBACK: UNTIL_ANSWERED,
}
