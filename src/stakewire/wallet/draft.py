"""The next batch, decided while the present one is being written.

It is decided upon the accounts and transactions as that write will leave them. It is sent only once that
write has succeeded, and given back undecided if it failed; its own write checks what it was decided upon.
"""

from __future__ import annotations

from collections import deque
from datetime import date

from stakewire.ids import OwnIds
from stakewire.ledger.batch import BatchState, Plan, Resolver
from stakewire.ledger.decide import Moment
from stakewire.ledger.store import Reader
from stakewire.ledger.types import Answer, LedgerRequest
from stakewire.wallet.cache import LedgerCache

Asked = tuple[LedgerRequest, Answer]


class Draft:
    """`batch` may grow at its end until `plan` is taken.

    A draft that says False cannot be used: something has to be read that the write in flight may change, or
    an answer would store nothing, so that nothing would check what it was decided upon.
    """

    def __init__(
        self, batch: list[Asked], written: Plan, cache: LedgerCache, moment: Moment, ids: OwnIds
    ) -> None:
        self.batch = batch
        self._written = written
        self._cache = cache
        self._moment = moment
        self._state = BatchState({}, {})
        self._resolver = Resolver(self._state, moment, ids)

    async def decide(self, beside: Reader, since: date) -> bool:
        """Read what is not remembered, and decide the batch; raises StoreUnavailable."""
        requests = [request for request, _ in self.batch]
        written, cache, state = self._written, self._cache, self._state
        state.players, missing = cache.find(requests)
        if missing:
            if any(change.user_id in missing for change in written.accounts.values()):
                return False
            read = await beside.read_players(list(missing), since)
            state.players.update((player.user_id, player) for player in read)
            cache.remember(read)
        keys = cache.suspects(requests) - written.fresh.keys()
        if keys:
            state.known = {(tx.operator_id, tx.tx_id): tx for tx in await beside.read_known(keys)}
        state.known.update(written.fresh)
        return all(self._take(request) for request in requests)

    def grow(self, waiting: deque[Asked], most: int) -> bool:
        """Take what has come since, up to `most` in all, as far as it can be decided without reading."""
        batch, players = self.batch, self._state.players
        while waiting and len(batch) < most:
            request = waiting[0][0]
            player = self._cache.needs_no_read(request)
            if player is None:
                return True
            players[request.user_id] = player
            batch.append(waiting.popleft())
            if not self._take(request):
                return False
        return True

    def plan(self) -> Plan:
        """What the batch comes to."""
        return self._resolver.finish()

    def _take(self, request: LedgerRequest) -> bool:
        return self._resolver.take(request).own_id is not None
