"""The library for platforms with their own wallet: the same rules over somebody else's store."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from decimal import Decimal
from typing import Any
from unittest.mock import ANY  # own ids of the library are texts, and copies cannot be told from outside

from hypothesis import settings
from tests.ledger_machine import CURRENCIES, LedgerMachine, Move
from tests.unit.wallet.platform import Books, MemoryPlatform

from stakewire.ledger.types import (
    CASHIER,
    Decline,
    Kind,
    LedgerRequest,
    Limit,
    LimitKind,
    Outcome,
    Period,
    Status,
)
from stakewire.wallet.library import Bets, handle_callback
from stakewire.wire.sportsbook.profile import Profile
from stakewire.wire.sportsbook.signing import Secret

SECRET = Secret("a-security-hash-of-the-tests")
PROFILES = {
    2: Profile(),
    3: Profile(altered_replay="refuse"),
    4: Profile(unknown_rollback="refuse", rollback_of_result="refuse"),
}
ACTIONS = {Kind.BET: "bet", Kind.RESULT: "result", Kind.ROLLBACK: "rollback"}
DECLINES = {"INSUFFICENT_FUNDS": Decline.INSUFFICIENT_FUNDS}


def ask(store: MemoryPlatform, raw: bytes, endpoint: str = "transaction", **more: Any) -> dict[str, Any]:
    """A signed callback's answer, which has status 200."""
    return asyncio.run(ask_now(store, raw, endpoint, **more))


async def ask_now(
    store: MemoryPlatform, raw: bytes, endpoint: str = "transaction", **more: Any
) -> dict[str, Any]:
    headers = [("X-Security-Hash", SECRET.sign(raw))]
    status, body = await handle_callback(endpoint, raw, headers, secrets=[SECRET], store=store, **more)
    assert status == 200
    document: dict[str, Any] = json.loads(body)
    return document


def bet(tx: str, amount: str = "1", user: str = "ann") -> bytes:
    """The body of a bet."""
    fields = {"transaction_id": tx, "action": "bet", "user_id": user, "currency": "EUR"}
    return (json.dumps(fields)[:-1] + f', "amount": {amount}}}').encode()


class LibraryLedger(LedgerMachine):
    """The ledger's own machine; the platform's limits and deposits are its own affair and left out."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.stores = {operator: MemoryPlatform(self.books, locks=False) for operator in PROFILES}
        self.numbers: dict[str, int] = {}

    def open_accounts(self, accounts: dict[str, tuple[str, ...]]) -> None:
        for user, currencies in accounts.items():
            for currency in currencies:
                self.books.balances[user, currency] = Decimal(0)

    def _play(self, batch: list[Move]) -> None:
        opening = not self.played  # the only deposits are those that open the accounts
        super()._play([move for move in batch if move[0] != CASHIER or opening])

    def carry_out(self, requests: list[LedgerRequest]) -> list[Outcome]:
        return asyncio.run(self._carry_out(requests))

    async def _carry_out(self, requests: list[LedgerRequest]) -> list[Outcome]:
        return [await self._one(asked) for asked in requests]

    async def _one(self, asked: LedgerRequest) -> Outcome:
        if asked.operator_id == CASHIER:
            self.books.balances[asked.user_id, asked.currency] += asked.amount
            return Outcome(None, self._number(asked.tx_id), ANY, ANY)
        now = self.clock.now()
        for user, player in self.model.players.items():
            excluded = player.excluded_until is not None and now < player.excluded_until
            self.books.bets[user] = Bets.BLOCKED if excluded or player.standing != "active" else Bets.WELCOME
        answer = await ask_now(
            self.stores[asked.operator_id],
            _body(asked),
            "transaction-rollback" if asked.kind is Kind.ROLLBACK else "transaction",
            profile=PROFILES[asked.operator_id],
            currencies=CURRENCIES,
            clock=self.clock,
        )
        if answer["error"] is None:
            return Outcome(None, self._number(answer["transaction_id"]), ANY, ANY)
        return Outcome(DECLINES.get(answer["error"]) or Decline(answer["error"]), None, ANY, ANY)

    def _number(self, own_id: str) -> int:
        return self.numbers.setdefault(own_id, len(self.numbers))

    def balances(self) -> dict[tuple[str, str], int]:
        return {
            (user, currency): int(balance.scaleb(CURRENCIES.get(currency).exponent))
            for (user, currency), balance in self.books.balances.items()
        }

    def stand(self, user: str, status: Status, excluded_until: datetime | None) -> None:
        pass  # read from the model at each callback

    def set_limit(self) -> None:
        pass

    def play_to_the_limit(self) -> None:
        pass

    def limit(self, user: str, currency: str, limits: list[Limit]) -> None:
        raise AssertionError("no rule sets limits here")

    def change_limit(self, user: str, kind: LimitKind, period: Period, amount: int | None) -> None:
        raise AssertionError("no rule sets limits here")


def _body(asked: LedgerRequest) -> bytes:
    fields = {
        "transaction_id": asked.tx_id,
        "action": ACTIONS[asked.kind],
        "user_id": asked.user_id,
        "currency": asked.currency,
    }
    if asked.target_id is not None:
        fields["rollback_transaction_id"] = asked.target_id
    return (json.dumps(fields)[:-1] + f', "amount": {asked.amount}}}').encode()


TestLibraryLedger = LibraryLedger.TestCase
TestLibraryLedger.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


def test_twins_at_the_same_moment_have_one_effect() -> None:
    """Without any lock in the store its unique keys alone decide; both twins get the same answer."""
    store = MemoryPlatform(Books({("ann", "EUR"): Decimal("10.00")}), locks=False)

    async def main() -> list[dict[str, Any]]:
        return await asyncio.gather(*(ask_now(store, bet("t1", "4")) for _ in range(3)))

    answers = asyncio.run(main())
    assert answers[0]["error"] is None and answers == [answers[0]] * 3
    assert store.books.balances["ann", "EUR"] == Decimal("6.00")


def test_a_commit_that_fails_is_internal_error_and_may_come_again() -> None:
    """Never a success or a decline that is not known."""
    store = MemoryPlatform(Books({("ann", "EUR"): Decimal("10.00")}))
    store.fail_commit = True
    assert ask(store, bet("t1")) == {"error": "INTERNAL_ERROR"}
    store.fail_commit = False
    assert ask(store, bet("t1"))["error"] is None
    assert store.books.balances["ann", "EUR"] == Decimal("9.00")


def test_altered_copies_are_handed_to_the_platform() -> None:
    """The first answer again, and what was asked instead is kept once, in the same transaction."""
    store = MemoryPlatform(Books({("ann", "EUR"): Decimal("10.00")}))
    first = ask(store, bet("t1", "4"))
    assert ask(store, bet("t1", "4.00")) == first and store.altered == {}
    altered = bet("t1", "5")
    assert ask(store, altered) == ask(store, altered) == first
    assert ask(store, altered, profile=Profile(altered_replay="refuse"))["error"] == "TRANSACTION_MISMATCH"
    assert list(store.altered.values()) == [altered]
    fields = {"transaction_id": "r1", "rollback_transaction_id": "t1", "action": "rollback"}
    undo = json.dumps(fields | {"user_id": "ann", "currency": "EUR", "amount": 9}).encode()
    assert ask(store, undo, "transaction-rollback")["error"] is None
    assert [raw for (tx, _), raw in store.altered.items() if tx == "r1"] == [undo]
    assert store.books.balances["ann", "EUR"] == Decimal("10.00"), "the stored amount came back"


def test_the_platform_may_refuse_bets() -> None:
    """Blocked comes before limits, limits before money; a bet of 0 is under every limit."""
    store = MemoryPlatform(Books({("ann", "EUR"): Decimal("10.00")}))
    store.books.bets["ann"] = Bets.OVER_LIMIT
    assert ask(store, bet("t1", "100")) == {"error": "LIMIT_EXCEEDED"}
    assert ask(store, bet("t2", "0"))["error"] is None
    store.books.bets["ann"] = Bets.BLOCKED
    assert ask(store, bet("t3", "0")) == {"error": "USER_BLOCKED"}
    store.books.bets["ann"] = Bets.WELCOME
    assert ask(store, bet("t1", "1")) == {"error": "LIMIT_EXCEEDED"}


def test_nothing_is_asked_of_the_store_before_the_signature_is_right() -> None:
    """A wrong signature, a wrong body and a large one never open a transaction."""

    class Untouchable:
        def transaction(self) -> Any:
            raise AssertionError("the store was asked")

    async def status_of(raw: bytes, signature: str, profile: Profile | None = None) -> tuple[int, bytes]:
        return await handle_callback(
            "transaction", raw, [(b"x-securty-hash", signature.encode())],
            secrets=[SECRET], store=Untouchable(), profile=profile,
        )  # fmt: skip

    raw = bet("t1")
    assert asyncio.run(status_of(raw, "0" * 64)) == (200, b'{"error":"INVALID_SIGNATURE"}')
    strict = Profile(bad_signature_status=401)
    assert asyncio.run(status_of(raw, "0" * 64, strict)) == (401, b'{"error":"INVALID_SIGNATURE"}')
    assert asyncio.run(status_of(b"{}", SECRET.sign(b"{}"))) == (200, b'{"error":"INVALID_REQUEST"}')
    assert asyncio.run(status_of(raw + b" " * 65_536, "0" * 64))[0] == 413


def test_header_names_in_any_case_and_type() -> None:
    """Frameworks give headers as text or bytes; both are read."""
    store = MemoryPlatform(Books({("ann", "EUR"): Decimal("10.00")}))
    raw = bet("t1")
    for header in (
        ("X-SECURITY-HASH", SECRET.sign(raw)),
        (b"X-Security-Hash", SECRET.sign(raw).upper().encode()),
    ):
        status, body = asyncio.run(
            handle_callback("transaction", raw, [header, ("Host", "w")], secrets=[SECRET], store=store)
        )
        assert (status, json.loads(body)["error"]) == (200, None)
