"""An OPERATOR with a journal: it does what section 4 of the contract asks, and remembers every answer.

Each player's requests follow one another, so every balance is known exactly at every moment: an accepted bet,
result or rollback has happened once, a bet without a definite answer was rolled back and has not happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from decimal import Decimal

import aiohttp

from stakewire.wire.sportsbook.answers import Accepted, Declined, Unclear, read_answer
from stakewire.wire.sportsbook.messages import Action, Endpoint, Transaction, write_transaction
from stakewire.wire.sportsbook.signing import HEADER, Secret

OPENING_CENTS = 5_000


@dataclass
class Journal:
    """What the wallet has promised. `accepted` holds each id's bytes and the wallet's own id."""

    balances: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, tuple[Endpoint, bytes, str]] = field(default_factory=dict)
    declined: int = 0
    unknown: int = 0
    faults: list[str] = field(default_factory=list)


class Operator:
    """Sends for `players` until told to stop."""

    def __init__(self, url: str, secret: str, journal: Journal, rng: random.Random) -> None:
        self._url = url
        self._secret = Secret(secret)
        self._rng = rng
        self.journal = journal

    async def run(self, players: list[str], stop: asyncio.Event) -> None:
        """One task a player; returns when every player's last request has its answer."""
        timeout = aiohttp.ClientTimeout(total=5)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
            asyncio.TaskGroup() as group,
        ):
            for player in players:
                self.journal.balances[player] = OPENING_CENTS
                group.create_task(self._play(http, player, stop))

    async def check_stable(self) -> None:
        """Ask everything that was accepted once more: the same own id must come, and no money may move."""
        gate = asyncio.Semaphore(32)
        async with aiohttp.ClientSession() as http:

            async def ask(tx_id: str, endpoint: Endpoint, raw: bytes, own_id: str) -> None:
                async with gate:
                    again = await self._post(http, endpoint, raw)
                if again != Accepted(own_id):
                    self.journal.faults.append(f"{tx_id}: first {own_id}, now {again}")

            async with asyncio.TaskGroup() as group:
                for tx_id, (endpoint, raw, own_id) in self.journal.accepted.items():
                    group.create_task(ask(tx_id, endpoint, raw, own_id))

    async def _play(self, http: aiohttp.ClientSession, player: str, stop: asyncio.Event) -> None:
        number = 0
        open_bets: list[tuple[str, int]] = []
        while not stop.is_set():
            number += 1
            tx_id = f"{player}-{number}"
            cents = self._rng.randint(1, 2_000)
            kind = self._rng.random()
            if kind < 0.6:
                if await self._bet(http, player, tx_id, cents):
                    open_bets.append((tx_id, cents))
            elif kind < 0.85 or not open_bets:
                await self._until_accepted(
                    http, Endpoint.TRANSACTION, self._move(tx_id, Action.RESULT, player, cents)
                )
                self.journal.balances[player] += cents
            else:
                target, stake = open_bets.pop(self._rng.randrange(len(open_bets)))
                await self._roll_back(http, player, f"{tx_id}-undo", target, stake)
                self.journal.balances[player] += stake

    async def _bet(self, http: aiohttp.ClientSession, player: str, tx_id: str, cents: int) -> bool:
        journal = self.journal
        asked = self._move(tx_id, Action.BET, player, cents)
        raw = write_transaction(asked, 2)
        answer = await self._post(http, Endpoint.TRANSACTION, raw)
        enough = journal.balances[player] >= cents
        if isinstance(answer, Accepted):
            if not enough:
                journal.faults.append(
                    f"{tx_id}: accepted with {journal.balances[player]} cents for a stake of {cents}"
                )
            journal.accepted[tx_id] = (Endpoint.TRANSACTION, raw, answer.client_transaction_id)
            journal.balances[player] -= cents
            return True
        if isinstance(answer, Declined) and answer.definite:
            if enough:
                journal.faults.append(
                    f"{tx_id}: {answer.code} with {journal.balances[player]} cents for {cents}"
                )
            journal.declined += 1
            return False
        journal.unknown += 1
        await self._roll_back(http, player, f"{tx_id}-undo", tx_id, cents)
        return False

    async def _roll_back(
        self, http: aiohttp.ClientSession, player: str, tx_id: str, target: str, cents: int
    ) -> None:
        asked = Transaction(tx_id, Action.ROLLBACK, player, "EUR", Decimal(cents) / 100, target)
        await self._until_accepted(http, Endpoint.ROLLBACK, asked)

    async def _until_accepted(
        self, http: aiohttp.ClientSession, endpoint: Endpoint, asked: Transaction
    ) -> None:
        """Results and rollbacks are sent again, the same bytes, until answered; sometimes twice at once."""
        raw = write_transaction(asked, 2)
        while True:
            copies = 2 if self._rng.random() < 0.1 else 1
            answers = await asyncio.gather(*(self._post(http, endpoint, raw) for _ in range(copies)))
            accepted = {answer.client_transaction_id for answer in answers if isinstance(answer, Accepted)}
            if len(accepted) > 1:
                self.journal.faults.append(f"{asked.transaction_id}: two own ids {accepted}")
            if accepted:
                self.journal.accepted[asked.transaction_id] = (endpoint, raw, accepted.pop())
                return
            if any(isinstance(answer, Declined) and answer.code != "INTERNAL_ERROR" for answer in answers):
                self.journal.faults.append(f"{asked.transaction_id}: {answers}")
                return
            await asyncio.sleep(0.05)

    def _move(self, tx_id: str, action: Action, player: str, cents: int) -> Transaction:
        return Transaction(tx_id, action, player, "EUR", Decimal(cents) / 100, None)

    async def _post(
        self, http: aiohttp.ClientSession, endpoint: Endpoint, raw: bytes
    ) -> Accepted | Declined | Unclear:
        headers = {HEADER: self._secret.sign(raw), "Content-Type": "application/json"}
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
            async with http.post(f"{self._url}/{endpoint}", data=raw, headers=headers) as answer:
                return read_answer(answer.status, await answer.read())
        return Unclear("no answer")
