"""The outbox: callbacks written in the transaction that decided them, and taken out until answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from stakewire.delivery.action import Action
from stakewire.delivery.outcome import Attempt
from stakewire.delivery.state import State, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCallback:
    """A callback as it is decided: the bytes are final, only the signature is made when it is sent.

    `bet_id` ties the callbacks of one bet together: they go out one after another, in the order
    they were written. `path` is the endpoint below the client's callback URL (`/transaction`).
    `amount_minor` counts minor units of `currency`; it is what is at risk until the answer.
    """

    client_id: int
    bet_id: int | None
    transaction_id: str
    action: Action
    user_id: str
    currency: str
    amount_minor: int
    path: str
    body: bytes
    target_id: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A callback under lease, ready to be sent.

    `attempts` numbers this attempt from 1 and is the fence: a recording under an older number
    changes nothing. `schedule_start` is how many attempts preceded the present run through the
    schedule (0, unless it was parked and sent again on demand).
    """

    id: int
    slot: int
    action: Action
    path: str
    body: bytes
    attempts: int
    schedule_start: int
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an attempt did to a claimed callback."""

    claimed: Claimed
    attempt: Attempt
    step: Step


@dataclass(frozen=True, slots=True)
class Written:
    """What a recording did: steps taken (the others had lost their lease), callbacks released."""

    taken: int
    released: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A client with callbacks to send, and when the first of them may be claimed."""

    client_id: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class QueueLine:
    """Callbacks of one client, action, state and currency that have no final answer: count, age, money."""

    client_id: int
    action: Action
    state: State
    currency: str
    callbacks: int
    oldest: datetime
    amount_minor: int


class BatchRefused(Exception):
    """The store is well and refuses the data itself; trying the same again will not help."""


class Outbox(Protocol):
    """What the worker needs of the store. Every method is one short transaction.

    Anything they raise but `BatchRefused` means: not now, try again.
    """

    async def waiting(self) -> list[Waiting]:
        """Every client that has callbacks to send, now or later."""
        ...

    async def claim(
        self, client_id: int, *, now: datetime, until: datetime, limit: int, worker: str
    ) -> list[Claimed]:
        """Lease up to `limit` callbacks that are due or whose lease has run out, earliest first."""
        ...

    async def record(self, batch: Sequence[Recorded], *, now: datetime) -> Written:
        """Store the attempts and their steps, and release what waited behind those that ended.

        Safe to repeat.

        Raises:
            BatchRefused: one of the rows can never be stored.
        """
        ...

    async def give_back(self, batch: Sequence[Claimed], *, now: datetime) -> None:
        """Undo the claim of callbacks that were not sent: due again, the attempt not counted."""
        ...
