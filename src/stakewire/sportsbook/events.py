"""What open pages are told: the board for everybody, their own bets for each player.

Each process looks at the database once a second on behalf of all its pages. A page begins with the whole
board and all its bets, so whatever it missed before needs no catching up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from stakewire.clock import Clock
from stakewire.money import Currencies
from stakewire.net.signalr import HubConnection, StateTopic
from stakewire.postgres.sportsbook import bets as bet_store
from stakewire.postgres.sportsbook.bets import BetRow
from stakewire.sportsbook.board import Board, Json
from stakewire.sportsbook.views import bet_json

_LOOK_SECONDS = 1.0
_OVERLAP = timedelta(seconds=10)  # a transaction may become visible this long after the time it wrote down
_LATEST_BETS = 50

_log = structlog.get_logger("stakewire.sportsbook")

Player = tuple[int, str, str]
"""Client id, user id and currency: what the bets of one page have in common."""


class Pages(Protocol):
    """Some open pages: `hub.clients.user(...)` or `hub.clients.caller`."""

    async def send(self, target: str, *arguments: Any) -> None: ...


@dataclass(slots=True)
class _Watching:
    """The open pages of one player."""

    pages: Pages
    open: set[str] = field(default_factory=set)  # ids of their connections
    changes: int = 0  # of bets, since the first of the pages came


class Events:
    """The pages of one process."""

    def __init__(self, pool: Any, board: Board, *, currencies: Currencies, clock: Clock) -> None:
        self._pool = pool
        self._board = board
        self._currencies = currencies
        self._clock = clock
        self._topic: StateTopic | None = None
        self._watching: dict[Player, _Watching] = {}
        self._seen: dict[int, datetime] = {}  # bets sent lately, and the change that was sent
        self._since = clock.now()

    def publish_on(self, topic: StateTopic) -> None:
        """Publish the board there; said once, by the hub that the pages come to."""
        self._topic = topic

    @property
    def open_pages(self) -> int:
        return sum(len(watching.open) for watching in self._watching.values())

    async def join(
        self,
        player: Player,
        page: HubConnection,
        *,
        caller: Pages,
        pages: Pages,
        bets: Callable[[], Awaitable[list[BetRow]]],
    ) -> None:
        """Begin to tell a page what is: `Bets`, which `bets` reads, and `Board`; then what changes.

        Args:
            caller: the page itself.
            pages: all pages of the player.
        """
        watching = self._watching.setdefault(player, _Watching(pages))
        watching.open.add(page.id)
        # A bet that changes while the bets are read is told of before them: then they are read again.
        changes = -1
        while changes != watching.changes:
            changes = watching.changes
            own = await bets()
        now = self._clock.now()
        await caller.send("Bets", [bet_json(bet, self._currencies, now) for bet in own])
        await self._publish(await self._board.matches())
        self._board_topic.subscribe(page)

    def leave(self, player: Player, page: HubConnection) -> None:
        """Tell the page nothing more."""
        self._board_topic.unsubscribe(page)
        watching = self._watching.get(player)
        if watching is not None:
            watching.open.discard(page.id)
            if not watching.open:
                del self._watching[player]

    async def bet_changed(self, bet: BetRow) -> None:
        """Tell the player's pages about a bet at once."""
        watching = self._watching.get((bet.client_id, bet.user_id, bet.currency))
        if watching is None:
            return
        self._seen[bet.id] = bet.changed_at
        watching.changes += 1
        await watching.pages.send("Bet", bet_json(bet, self._currencies, self._clock.now()))

    async def run(self, stop: asyncio.Event) -> None:
        """Look for changes each second until `stop`."""
        while not stop.is_set():
            try:
                await self.look()
            except Exception as error:  # pages go on without news, which the next look finds
                _log.warning("events_paused", reason=repr(error))
            try:
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Read what changed since the last look and tell the pages; without pages, read nothing."""
        now = self._clock.now()
        if self._watching:
            await self._publish(await self._board.refresh())
            await self._look_at_bets()
        self._since = now
        self._seen = {bet: at for bet, at in self._seen.items() if at > now - 2 * _OVERLAP}

    @property
    def _board_topic(self) -> StateTopic:
        assert self._topic is not None, "a page came before its hub"
        return self._topic

    async def _publish(self, matches: list[Json]) -> None:
        if self._board_topic.newest != (matches,):
            await self._board_topic.publish(matches)

    async def _look_at_bets(self) -> None:
        players = {(client_id, user_id) for client_id, user_id, _ in self._watching}
        async with self._pool.acquire() as conn:
            changed = await bet_store.changed_bets(
                conn, list(players), self._since - _OVERLAP, limit=_LATEST_BETS
            )
        for bet in changed:
            if self._seen.get(bet.id) != bet.changed_at:
                await self.bet_changed(bet)
