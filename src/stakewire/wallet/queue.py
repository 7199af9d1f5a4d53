"""Requests that wait for their batch, and what may be taken while other batches are in flight."""

from __future__ import annotations

from collections import deque

from stakewire.ledger.batch import keys_of
from stakewire.ledger.types import Answer, LedgerRequest, TxKey

Asked = tuple[LedgerRequest, Answer]

_LOOKED_AT = 4
"""So many times the size of a batch is looked through for requests that may go beside another batch."""


class Batch:
    """What was taken together, and what nobody else may touch until it is settled."""

    __slots__ = ("asked", "keys", "requests", "users")

    def __init__(self, asked: list[Asked]) -> None:
        self.asked = asked
        self.requests = [request for request, _ in asked]
        self.users = {request.user_id for request in self.requests}
        self.keys = keys_of(self.requests)


class Queue:
    """First come, first served, but for requests that must wait for a batch in flight.

    Those whose player, id or target is in such a batch stay, in order, and so does whatever came after them
    and names what they name. A batch is begun beside another only when `beside_from` requests wait: many
    small batches cost more than one large.
    """

    def __init__(self, beside_from: int) -> None:
        self._beside_from = beside_from
        self._waiting: deque[Asked] = deque()
        self._in_flight: list[Batch] = []
        self._all_blocked = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def oldest(self) -> LedgerRequest | None:
        """The request that has waited longest."""
        return self._waiting[0][0] if self._waiting else None

    @property
    def takeable(self) -> bool:
        """Whether a batch may be begun now."""
        if not self._in_flight:
            return bool(self._waiting)
        return len(self._waiting) >= self._beside_from and not self._all_blocked

    def add(self, request: LedgerRequest, answer: Answer) -> None:
        """Queue a request."""
        self._waiting.append((request, answer))

    def take(self, most: int) -> Batch | None:
        """The next batch, of at most `most` requests; None if there is none to be begun now."""
        if not self.takeable:
            return None
        asked = self._next_free(most) if self._in_flight else self._next(most)
        if not asked:
            self._all_blocked = True
            return None
        batch = Batch(asked)
        self._in_flight.append(batch)
        return batch

    def settled(self, batch: Batch) -> None:
        """The batch is in flight no more."""
        self._in_flight.remove(batch)
        self._all_blocked = False

    def _next(self, most: int) -> list[Asked]:
        waiting = self._waiting
        if len(waiting) <= most:
            asked = list(waiting)
            waiting.clear()
            return asked
        return [waiting.popleft() for _ in range(most)]

    def _next_free(self, most: int) -> list[Asked]:
        users: set[str] = set().union(*(batch.users for batch in self._in_flight))
        keys: set[TxKey] = set().union(*(batch.keys for batch in self._in_flight))
        waiting = self._waiting
        free: list[Asked] = []
        blocked: list[Asked] = []
        for _ in range(min(len(waiting), _LOOKED_AT * most)):
            asked = waiting.popleft()
            request = asked[0]
            key = (request.operator_id, request.tx_id)
            target = (request.operator_id, request.target_id)
            if request.user_id in users or key in keys or target in keys:
                blocked.append(asked)
                users.add(request.user_id)
                keys.update(keys_of((request,)))
            else:
                free.append(asked)
                if len(free) == most:
                    break
        waiting.extendleft(reversed(blocked))
        return free
