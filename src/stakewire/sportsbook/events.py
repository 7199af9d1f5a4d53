"""Events for open pages: changed matches for everybody, changed bets for their player.

Each process looks at the database once a second on behalf of all its pages. Events are a help, not the
truth: a page reads its matches and bets whole whenever its stream begins.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from stakewire.clock import Clock
from stakewire.errors import Unavailable
from stakewire.money import Currencies
from stakewire.postgres.sportsbook import bets as bet_store
from stakewire.postgres.sportsbook.bets import BetRow
from stakewire.sportsbook.access import PageSession
from stakewire.sportsbook.board import Board, BoardChange
from stakewire.sportsbook.views import bet_json

PING_SECONDS = 15.0
_BUFFER = 256  # events a slow page may be behind before its stream is cut; it reads everything anew then
_LOOK_SECONDS = 1.0
_OVERLAP = timedelta(seconds=10)  # a transaction may become visible this long after the time it wrote down
_LATEST_BETS = 50
_FEW_MATCHES = 20  # up to here changed matches are sent one by one, above the whole list at once

_log = structlog.get_logger("stakewire.sportsbook")

Player = tuple[int, str]
"""Client id and user id."""


class _Stream:
    """One open page: its events in order, bounded."""

    __slots__ = ("_events", "_more", "currency", "cut", "player")

    def __init__(self, player: Player, currency: str) -> None:
        self.player = player
        self.currency = currency
        self.cut = False
        self._events: deque[bytes] = deque()
        self._more = asyncio.Event()

    def put(self, event: bytes) -> None:
        if len(self._events) >= _BUFFER:
            self.cut = True
        else:
            self._events.append(event)
        self._more.set()

    def end(self) -> None:
        self.cut = True
        self._more.set()

    async def next(self) -> bytes | None:
        """The next events as bytes, or None if nothing came for a while."""
        if not self._events:
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), PING_SECONDS)
            except TimeoutError:
                return None
        events = b"".join(self._events)
        self._events.clear()
        return events


class Events:
    """The streams of one process."""

    def __init__(
        self, pool: Any, board: Board, *, currencies: Currencies, clock: Clock, max_streams: int
    ) -> None:
        self._pool = pool
        self._board = board
        self._currencies = currencies
        self._clock = clock
        self._max_streams = max_streams
        self._streams: dict[Player, set[_Stream]] = {}
        self._count = 0
        self._seen: dict[int, datetime] = {}  # bets sent lately, and the change that was sent
        self._since = clock.now()

    @property
    def open_streams(self) -> int:
        return self._count

    def open(self, session: PageSession) -> AsyncIterator[bytes]:
        """A stream of `text/event-stream` bytes for one page, until it is closed or falls far behind.

        Raises:
            Unavailable: this process serves as many streams as it may.
        """
        if self._count >= self._max_streams:
            raise Unavailable("too many open pages at this moment; try again", code="BUSY")
        visit = session.visit
        stream = _Stream((visit.client_id, visit.user_id), visit.currency)
        return self._follow(stream, session.expires_at)

    def bet_changed(self, bet: BetRow) -> None:
        """Tell the player's pages about a bet at once."""
        streams = self._streams.get((bet.client_id, bet.user_id))
        if not streams:
            return
        self._seen[bet.id] = bet.changed_at
        event = _event("bet", {"bet": bet_json(bet, self._currencies, self._clock.now())})
        for stream in streams:
            if stream.currency == bet.currency:
                stream.put(event)

    async def run(self, stop: asyncio.Event) -> None:
        """Look for changes each second until `stop`, then end all streams."""
        while not stop.is_set():
            try:
                await self.look()
            except Exception as error:  # pages go on without events, and read everything anew
                _log.warning("events_paused", reason=repr(error))
            try:
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
            except TimeoutError:
                continue
        for streams in self._streams.values():
            for stream in streams:
                stream.end()

    async def look(self) -> None:
        """Read what changed since the last look and tell the pages; without pages, read nothing."""
        now = self._clock.now()
        if self._count:
            await self._look_at_matches()
            await self._look_at_bets()
        self._since = now
        self._seen = {bet: at for bet, at in self._seen.items() if at > now - 2 * _OVERLAP}

    async def _look_at_matches(self) -> None:
        change = await self._board.refresh()
        if change:
            events = await self._match_events(change)
            for streams in self._streams.values():
                for stream in streams:
                    stream.put(events)

    async def _match_events(self, change: BoardChange) -> bytes:
        if change.gone or len(change.matches) > _FEW_MATCHES:
            return _event("matches", {"matches": await self._board.matches()})
        return b"".join(_event("matches", {"match": match}) for match in change.matches)

    async def _look_at_bets(self) -> None:
        async with self._pool.acquire() as conn:
            changed = await bet_store.changed_bets(
                conn, list(self._streams), self._since - _OVERLAP, limit=_LATEST_BETS
            )
        for bet in changed:
            if self._seen.get(bet.id) != bet.changed_at:
                self.bet_changed(bet)

    async def _follow(self, stream: _Stream, until: datetime) -> AsyncIterator[bytes]:
        self._streams.setdefault(stream.player, set()).add(stream)
        self._count += 1
        try:
            yield b": open\n\n"
            while not stream.cut and self._clock.now() < until:
                events = await stream.next()
                yield _PING if events is None else events
        finally:
            self._count -= 1
            streams = self._streams[stream.player]
            streams.discard(stream)
            if not streams:
                del self._streams[stream.player]


_PING = b"event: ping\ndata: {}\n\n"


def _event(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
