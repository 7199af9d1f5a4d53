"""A sportsbook on a real database with a clock moved by hand, and the other sides it talks to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

import asyncpg
import pytest

from stakewire.betting.markets import Market
from stakewire.betting.schedule import Fixture
from stakewire.delivery.outbox import NewCallback
from stakewire.delivery.outcome import Attempt, Outcome
from stakewire.ids import OwnIds
from stakewire.money import Currencies
from stakewire.net.egress import EgressGuard
from stakewire.postgres.crypto import Vault
from stakewire.postgres.sportsbook.bets import BetRow
from stakewire.postgres.sportsbook.matches import OutcomeRow, add_matches, list_outcomes, set_odds
from stakewire.sportsbook.access import PageSession
from stakewire.sportsbook.app import Sportsbook, open_sportsbook
from stakewire.sportsbook.bets import Bets, Reaper, Slip
from stakewire.sportsbook.clients import Clients, NewCredentials
from stakewire.sportsbook.config import SportsbookConfig
from stakewire.sportsbook.delivery.bets import BetAccepted, BetAnswer, BetDeclined, BetUnknown
from stakewire.sportsbook.delivery.targets import ClientTarget
from stakewire.sportsbook.importer import offers_of
from stakewire.sportsbook.passwords import Passwords
from stakewire.sportsbook.writers import lease_ids
from stakewire.testing import ManualClock, SeededTokens

MASTER_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
URL = "http://sportsbook.test"


class NewSportsbook(Protocol):
    """Starts another process's worth of objects on the same database."""

    def __call__(self, **settings: Any) -> Awaitable[World]: ...


class WalletByHand:
    """Stands where the client's wallet is: the test decides what each bet is answered, and when."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.sent: list[NewCallback] = []
        self.answers: list[str] = []  # the next answers; "accept" when it is empty
        self.arrived = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def send(
        self, client: ClientTarget, callback: NewCallback, *, answer_by: datetime | None = None
    ) -> BetAnswer:
        self.sent.append(callback)
        self.arrived.set()
        word = self.answers.pop(0) if self.answers else "accept"
        await self.may_answer.wait()
        if word == "accept":
            return BetAccepted(self._attempt(Outcome.ACCEPTED, None))
        if word == "unknown":
            return BetUnknown(self._attempt(Outcome.NO_ANSWER, "no answer"))
        return BetDeclined(word, self._attempt(Outcome.DECLINED, word))

    def _attempt(self, outcome: Outcome, reason: str | None) -> Attempt:
        own_id = "w-1" if outcome is Outcome.ACCEPTED else None
        return Attempt(
            outcome=outcome, at=self._clock.now(), ms=1, reason=reason, client_transaction_id=own_id
        )


@dataclass
class World:
    """One process's objects, with a wallet that answers by hand."""

    book: Sportsbook
    clock: ManualClock
    wallet: WalletByHand
    clients: Clients
    bets: Bets
    reaper: Reaper
    ids: OwnIds
    decided: list[str] = field(default_factory=list)

    async def client(self, name: str = "acme", **settings: Any) -> NewCredentials:
        """A client with the callback URL of nobody."""
        given = {"callback_url": "http://127.0.0.1:9/callbacks", "origins": ("http://site.test",)}
        made = await self.clients.add(name, **{**given, **settings})
        await self.book.directory.reload()
        return made

    async def session(self, user: str = "alice", client: str = "acme", currency: str = "EUR") -> PageSession:
        """A player in front of the page."""
        found = self.book.directory.find(client)
        assert found is not None
        launch = await self.book.access.start_session(found, user_id=user, currency=currency, lang=None)
        _, session = await self.book.access.launch(launch)
        return session

    async def match(self, home: str = "Anchor Vale", *, starts_in: timedelta = timedelta(hours=1)) -> int:
        """A match with 1X2 at 2.00, 3.00, 4.00 and totals at 1.80, 2.05."""
        kickoff = self.clock.now() + starts_in
        odds = {
            Market.MATCH_RESULT: {"1": Decimal("2.00"), "X": Decimal("3.00"), "2": Decimal("4.00")},
            Market.TOTAL_2_5: {"over": Decimal("1.80"), "under": Decimal("2.05")},
        }
        fixture = Fixture("Test League", home, "Brightwater", kickoff, odds, kickoff.date())
        async with self.book.pool.acquire() as conn, conn.transaction():
            (match_id,) = (await add_matches(conn, [fixture], self.clock.now())).values()
            await set_odds(conn, offers_of(match_id, fixture))
        return match_id

    async def outcome(self, match_id: int, name: str = "1") -> OutcomeRow:
        """One outcome on offer."""
        async with self.book.pool.acquire() as conn:
            (found,) = (row for row in await list_outcomes(conn, [match_id]) if row.name == name)
        return found

    async def slip(
        self, match_id: int, name: str = "1", stake: str = "5.00", slip_id: UUID | None = None
    ) -> Slip:
        """A slip at the odds on offer."""
        outcome = await self.outcome(match_id, name)
        return Slip(slip_id or uuid4(), outcome.id, outcome.odds, stake)

    async def bet(self, session: PageSession, match_id: int, name: str = "1", stake: str = "5.00") -> BetRow:
        """A bet, decided as the wallet says."""
        return await self.bets.place(session, await self.slip(match_id, name, stake))

    async def lose_connections(self) -> None:
        """End every connection to the database, as a restart of PostgreSQL does."""
        admin = await asyncpg.connect(self.book.config.database_url)
        try:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await admin.close()

    async def callbacks(self, bet_id: int) -> list[asyncpg.Record]:
        """All callbacks of a bet in their order: transaction id, action, target, amount, state."""
        rows: list[asyncpg.Record] = await self.book.pool.fetch(
            "SELECT transaction_id, action, target_id, amount::bigint AS amount, state FROM callback"
            " WHERE bet_id = $1 ORDER BY n",
            bet_id,
        )
        return rows

    async def said(self, bet_id: int) -> list[tuple[str, int]]:
        """What is or will be said about a bet: transaction id (without the bet's) and minor units."""
        return [
            (row["transaction_id"].removeprefix(f"{bet_id}-"), row["amount"])
            for row in await self.callbacks(bet_id)
        ]


@pytest.fixture
def sportsbook_url(new_database: Callable[..., str]) -> str:
    """A database with the sportsbook's schema alone."""
    return new_database("sportsbook")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def new_sportsbook(
    sportsbook_url: str, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[NewSportsbook]:
    """Builds sportsbooks on the test's database; none of their background tasks runs."""
    async with AsyncExitStack() as stack:

        async def build(**settings: Any) -> World:
            config = SportsbookConfig(
                database_url=sportsbook_url,
                data_dir=tmp_path,
                master_key=MASTER_KEY,
                egress_allow=(ip_network("127.0.0.0/8"),),
                **settings,
            )
            book = await stack.enter_async_context(
                open_sportsbook(config, public_url=URL, clock=clock, tokens=None)
            )
            return await _world(book, clock)

        yield build


async def _world(book: Sportsbook, clock: ManualClock) -> World:
    currencies = Currencies.default()
    ids = await lease_ids(book.pool, "test", clock)
    wallet = WalletByHand(clock)
    decided: list[str] = []
    bets = Bets(
        book.pool,
        wallet,
        ids=ids,
        currencies=currencies,
        clock=clock,
        config=book.config,
        changed=book.events.bet_changed,
        decided=decided.append,
        queued=lambda: None,
    )
    reaper = Reaper(book.pool, ids=ids, currencies=currencies, clock=clock, decided=decided.append)
    clients = Clients(
        book.pool,
        vault=Vault.from_settings(MASTER_KEY, Path()),
        urls=EgressGuard(book.config.egress_allow, clock=clock),
        currencies=currencies,
        tokens=SeededTokens(1),
        clock=clock,
        passwords=Passwords(),
    )
    return World(book, clock, wallet, clients, bets, reaper, ids, decided)


@pytest.fixture
async def world(new_sportsbook: NewSportsbook) -> World:
    """A sportsbook with one client, acme."""
    world = await new_sportsbook()
    await world.client()
    return world
