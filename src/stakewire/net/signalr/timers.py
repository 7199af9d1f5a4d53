"""Deadlines of many connections for the price of one timer: a wheel of seconds."""

from __future__ import annotations

from collections import defaultdict
from math import inf
from typing import Protocol


class Timed(Protocol):
    """What has deadlines; `due` belongs to the wheel, starts as inf and is read by nobody else."""

    due: float

    def look(self, now: float) -> float:
        """Act on deadlines up to `now`; the time of the next one, inf for none."""
        ...


class Wheel:
    """Looks at each item when its earliest deadline has passed, to the second.

    An item stands in one bucket, that of its earliest deadline. Deadlines that moved on are not moved in
    the wheel: the item is looked at early, and says when next. So a connection whose every message renews
    a 30 s deadline costs one look each 30 s. An earlier deadline adds a second entry; the old one is void.
    """

    __slots__ = ("_buckets", "_swept")

    def __init__(self, now: float) -> None:
        self._buckets: defaultdict[float, list[Timed]] = defaultdict(list)
        self._swept = now // 1

    def watch(self, item: Timed, at: float) -> None:
        """Have `item` looked at within a second after `at`, if nothing earlier is arranged."""
        if at >= item.due:
            return
        second = max(at // 1, self._swept) + 1
        if second < item.due:
            item.due = second
            self._buckets[second].append(item)

    def sweep(self, now: float) -> None:
        """Look at every item whose second is over; called once a second."""
        last = now // 1
        for second in sorted(second for second in self._buckets if second <= last):
            self._swept = second
            for item in self._buckets.pop(second):
                if item.due != second:
                    continue
                item.due = inf
                at = item.look(now)
                if at != inf:
                    self.watch(item, at)
        self._swept = last
