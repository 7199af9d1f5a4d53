"""The state machine is only worth its name if it finds bugs: each of these is planted, and must be found."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace
from tests.ledger_machine import CURRENCIES
from tests.unit.ledger.test_machine import PureLedger

from stakewire.ledger import batch, decide
from stakewire.ledger.decide import Decision
from stakewire.ledger.store import BatchConflict
from stakewire.ledger.types import Decline, Kind, LedgerRequest, PlayerState, Status, Transaction
from stakewire.money import InvalidAmount, to_minor

Plant = Callable[[pytest.MonkeyPatch], None]
Decide = Callable[..., Decision]


def _around(name: str, change: Callable[..., Any]) -> Plant:
    """Replace `batch.<name>` by `change(original, *arguments)`."""
    original = getattr(batch, name)
    return lambda patch: patch.setattr(batch, name, lambda *args, **kw: change(original, *args, **kw))


def _refunds_a_rollback(
    original: Decide, asked: LedgerRequest, target: Transaction | None, *rest: Any
) -> Decision:
    if target is not None and target.kind is Kind.ROLLBACK and target.delta and not target.reversed:
        target = replace(target, kind=Kind.BET)
    return original(asked, target, *rest)


def _credits_the_asked_amount(original: Decide, asked: LedgerRequest, *rest: Any) -> Decision:
    decision = original(asked, *rest)
    try:
        minor = to_minor(asked.amount, CURRENCIES.get("EUR"))
    except InvalidAmount:
        return decision
    return replace(decision, delta=minor) if decision.delta > 0 else decision


def _undoes_twice(original: Decide, asked: LedgerRequest, target: Transaction | None, *rest: Any) -> Decision:
    return original(asked, None if target is None else replace(target, reversed=False), *rest)


def _ignores_who_asks(
    original: Decide, asked: LedgerRequest, target: Transaction | None, *rest: Any
) -> Decision:
    if target is None or target.kind is Kind.TOMBSTONE:
        return original(asked, target, *rest)
    return original(replace(asked, currency=target.currency), target, *rest)


def _result_looks_at_the_block(
    original: Decide, asked: LedgerRequest, player: PlayerState | None, *rest: Any
) -> Decision:
    decision = original(asked, player, *rest)
    if (
        asked.kind is Kind.RESULT
        and player is not None
        and player.status is Status.BLOCKED
        and decision.stored
    ):
        return Decision(Decline.USER_BLOCKED)
    return decision


def _compares_text(asked: LedgerRequest) -> bytes:
    text = f"{asked.kind} {asked.user_id} {asked.currency!r} {asked.amount} {asked.target_id}"
    return blake2b(text.encode(), digest_size=16).digest()


def _plants() -> dict[str, Plant]:
    resolver = batch._Resolver
    find, count = resolver._find, resolver._count

    def decides_declines_anew(self: Any, key: Any) -> Transaction | None:
        found = find(self, key)
        return None if found is not None and found.decline is not None else found

    def counts_rolled_back_stakes(self: Any, row: Any, target: Any) -> None:
        if target is None:
            count(self, row, target)

    return {
        "a rollback of a rollback refunds": _around("decide_rollback", _refunds_a_rollback),
        "a rollback credits what it asks for": _around("decide_rollback", _credits_the_asked_amount),
        "a second rollback refunds again": _around("decide_rollback", _undoes_twice),
        "a rollback may name another currency": _around("decide_rollback", _ignores_who_asks),
        "no tombstone is kept": _around(
            "decide_rollback", lambda original, *args: replace(original(*args), tombstone=False)
        ),
        "results look at the block": _around("decide_move", _result_looks_at_the_block),
        "a bet does not see the bets before it in its batch": lambda patch: patch.setattr(
            resolver,
            "_account",
            lambda self, player, currency: player.accounts.get(currency),
        ),
        "a decline is decided anew": lambda patch: patch.setattr(resolver, "_find", decides_declines_anew),
        "rolled-back stakes keep counting": lambda patch: patch.setattr(
            resolver, "_count", counts_rolled_back_stakes
        ),
        "exclusion is forgotten": lambda patch: patch.setattr(
            PlayerState, "may_bet", lambda self, now: self.status is Status.ACTIVE
        ),
        "limits are forgotten": lambda patch: patch.setattr(decide, "would_exceed", lambda *args: False),
        "another action under a known id succeeds": _around("mismatched", lambda original, *args: False),
        "amounts are compared as text": lambda patch: patch.setattr(batch, "fingerprint", _compares_text),
        "all copies are the same": lambda patch: patch.setattr(batch, "fingerprint", lambda asked: b"same"),
    }


@pytest.mark.parametrize("name", _plants())
def test_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger with this bug does not survive the state machine."""
    _plants()[name](monkeypatch)
    hunt = settings(
        max_examples=1500,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    with pytest.raises((AssertionError, BatchConflict, KeyError)):
        run_state_machine_as_test(PureLedger, settings=hunt)
