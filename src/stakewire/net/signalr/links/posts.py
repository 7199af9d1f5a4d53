"""The way up of transports that only carry down: POSTs, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from stakewire.net.signalr.links.link import LinkOwner

Answer = Callable[[int], None]
"""Answers a POST with this status: 200, 404, or 429."""


class PostedLink:
    """Base of event streams and long polls.

    Concurrent POSTs wait for each other in the order of their arrival, as in .NET; how many is bounded.
    """

    __slots__ = ("_held", "_owner", "_room", "_waiting")

    def __init__(self, owner: LinkOwner, max_waiting_posts: int) -> None:
        self._owner = owner
        self._room = max_waiting_posts
        self._held = False
        self._waiting: deque[tuple[bytes, Answer]] | None = None

    def post(self, body: bytes, answer: Answer) -> bool:
        """Hand a body to the connection, now or when reading goes on; 200 follows once that is done."""
        if self._held or self._waiting:
            self._wait(body, answer)
        else:
            self._owner.receive(body)
            answer(200)
        return True

    def pause_reading(self) -> None:
        """See `Link`: further POSTs wait."""
        self._held = True

    def resume_reading(self) -> None:
        """See `Link`."""
        self._held = False
        while self._waiting and not self._held:
            body, answer = self._waiting.popleft()
            self._owner.receive(body)
            answer(200)

    def _wait(self, body: bytes, answer: Answer) -> None:
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) < self._room:
            self._waiting.append((body, answer))
        else:
            answer(429)

    def refuse_posts(self) -> None:
        """The connection has ended: what waits is nobody's."""
        waiting, self._waiting = self._waiting, None
        for _, answer in waiting or ():
            answer(404)
