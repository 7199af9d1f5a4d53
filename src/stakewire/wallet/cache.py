"""What a committer remembers of the ledger: accounts as they will be, and ids that were seen of late.

Nothing here is believed: a write checks every account it was decided upon, and an id can be stored only once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from stakewire.ledger.batch import Plan
from stakewire.ledger.types import LedgerRequest, PlayerState, TxKey

CACHED_PLAYERS = 20_000
RECENT_IDS = 50_000
"""Ids of the last stored transactions that are remembered: nearly every copy comes soon after its first."""


class LedgerCache:
    """Players and ids; at most `players` and `ids` of them, the oldest make room."""

    def __init__(self, *, players: int = CACHED_PLAYERS, ids: int = RECENT_IDS) -> None:
        self._most_players = players
        self._most_ids = ids
        self._players: OrderedDict[str, PlayerState] = OrderedDict()
        self._recent: OrderedDict[TxKey, None] = OrderedDict()

    def find(self, requests: Sequence[LedgerRequest]) -> tuple[dict[str, PlayerState], set[str]]:
        """Remembered players of a batch, and the names that have to be read.

        A player without the account asked for is read again: it may have been opened meanwhile, and no
        write would notice.
        """
        remembered = self._players
        players: dict[str, PlayerState] = {}
        missing = set()
        for asked in requests:
            name = asked.user_id
            player = remembered.get(name)
            if player is not None and asked.currency in player.accounts:
                players[name] = player
            else:
                missing.add(name)
        for name in missing:
            players.pop(name, None)
        return players, missing

    def suspects(self, requests: Sequence[LedgerRequest]) -> set[TxKey]:
        """The keys that may well be stored: those of recent transactions, and every rollback's target."""
        recent = self._recent
        suspects = set()
        for asked in requests:
            key = (asked.operator_id, asked.tx_id)
            if key in recent:
                suspects.add(key)
            if asked.target_id is not None:
                suspects.add((asked.operator_id, asked.target_id))
        return suspects

    def adopt(self, plan: Plan) -> None:
        """Remember accounts and ids as the plan's write leaves them; `forget` its requests if it fails."""
        players, recent = self._players, self._recent
        for change in plan.accounts.values():
            player = players.get(change.user_id)
            if player is not None:
                player.accounts[change.new.currency] = change.new
        for row in plan.transactions:
            recent[row.operator_id, row.tx_id] = None
        while len(recent) > self._most_ids:
            recent.popitem(last=False)

    def remember(self, players: Iterable[PlayerState]) -> None:
        """Keep players that were read; those that have been here longest make room."""
        for player in players:
            self._players[player.user_id] = player
        while len(self._players) > self._most_players:
            self._players.popitem(last=False)

    def forget(self, requests: Iterable[LedgerRequest]) -> None:
        """Read the players of these requests afresh the next time."""
        for asked in requests:
            self._players.pop(asked.user_id, None)
