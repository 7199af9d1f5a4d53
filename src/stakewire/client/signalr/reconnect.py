"""When to try again after the connection was lost: the schedule is data, chance is passed in."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from stakewire.errors import ConfigError


class Schedule(Protocol):
    """Decides the waits between attempts; write your own for anything that `ReconnectSchedule` cannot say."""

    def wait(self, attempt: int, chance: random.Random) -> float | None:
        """Seconds to wait before attempt number `attempt` (from 0); None gives up."""
        ...


@dataclass(frozen=True, slots=True)
class ReconnectSchedule:
    """Waits that grow, each varied by chance so that clients dropped together do not come back together.

    Attributes:
        waits: seconds before each attempt; the last one is repeated.
        jitter: 0 to 1: a wait `w` becomes something between `w * (1 - jitter)` and `w * (1 + jitter)`.
        attempts: how many attempts before giving up; None never gives up.
    """

    waits: tuple[float, ...] = (0.3, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
    jitter: float = 0.5
    attempts: int | None = None

    def __post_init__(self) -> None:
        if not self.waits or min(self.waits) < 0:
            raise ConfigError("a reconnect schedule needs at least one wait, and none below 0 seconds")
        if not 0 <= self.jitter <= 1:
            raise ConfigError(f"jitter {self.jitter} is not between 0 and 1")

    def wait(self, attempt: int, chance: random.Random) -> float | None:
        """See `Schedule.wait`."""
        if self.attempts is not None and attempt >= self.attempts:
            return None
        base = self.waits[min(attempt, len(self.waits) - 1)]
        return base * (1 + self.jitter * (2 * chance.random() - 1))


NO_RECONNECT = ReconnectSchedule(attempts=0)
