"""The newest state of each topic as this process knows it, to be told to processes that start later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from stakewire.wire.backplane.envelope import TopicState

MAX_TOPICS: Final = 10_000
"""Beyond it the state that was published longest ago is forgotten."""


class TopicStates:
    """One newest state per topic name.

    What is published counts in the order of the backplane. An answer repeats an older message out of that
    order, so it counts only if it is newer by its stamp than what is known, or nothing is.
    """

    def __init__(self) -> None:
        self._newest: OrderedDict[str, TopicState] = OrderedDict()
        self._last_stamp = 0
        self._told: dict[str, set[str]] = {}  # asker: names that somebody has told it

    def newest(self, name: str) -> TopicState | None:
        """The newest state of a topic."""
        return self._newest.get(name)

    def stamp(self, now: datetime, name: str) -> int:
        """A stamp for a state published now: the time, but beyond all stamps before it."""
        known = self._newest.get(name)
        self._last_stamp = max(
            int(now.timestamp() * 1000), self._last_stamp + 1, 0 if known is None else known.stamp + 1
        )
        return self._last_stamp

    def take(self, state: TopicState) -> bool:
        """Keep a state that arrived; False if it is an answer that says nothing new."""
        if state.answer_to:
            if state.answer_to in self._told:
                self._told[state.answer_to].add(state.topic)
            known = self._newest.get(state.topic)
            if known is not None and known.stamp >= state.stamp:
                return False
        self._newest[state.topic] = state
        self._newest.move_to_end(state.topic)
        if len(self._newest) > MAX_TOPICS:
            self._newest.popitem(last=False)
        return True

    @contextmanager
    def answering(self, asker: str) -> Iterator[Iterator[TopicState]]:
        """The states that nobody has told this asker yet, each judged when its turn comes."""
        told = self._told.setdefault(asker, set())
        try:
            yield (
                state
                for name in tuple(self._newest)
                if name not in told and (state := self._newest.get(name)) is not None
            )
        finally:
            self._told.pop(asker, None)
