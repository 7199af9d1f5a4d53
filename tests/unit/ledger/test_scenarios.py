"""The contract page's table of cases, played through the pure ledger one after another."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from stakewire.ids import OwnIds
from stakewire.ledger.batch import BatchState, keys_of, resolve
from stakewire.ledger.decide import Moment
from stakewire.ledger.limits import Calendar
from stakewire.ledger.types import CASHIER, CASHIER_POLICY, Kind, LedgerRequest, Policy, Status
from stakewire.money import Currencies
from stakewire.testing import MemoryLedger

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CALENDAR = Calendar(UTC)
MOMENT = Moment(NOW, CALENDAR.day_of(NOW), CALENDAR, Currencies.default())
KINDS = {"bet": Kind.BET, "result": Kind.RESULT, "rollback": Kind.ROLLBACK, "deposit": Kind.DEPOSIT}

# action, id [of target], amount, [currency], [by player] -> answer, balance of alice in EUR afterwards.
SCENARIOS = {
    "a bet and its copies": """
        bet t1 4.00 -> ok 6.00
        bet t1 4.00 -> ok 6.00
        bet t1 4 -> ok 6.00
        bet t1 40e-1 -> ok 6.00
    """,
    "a decline is for ever": """
        bet t1 10.01 -> INSUFFICIENT_FUNDS 10.00
        result t2 5.00 -> ok 15.00
        bet t1 10.01 -> INSUFFICIENT_FUNDS 15.00
    """,
    "a bet after its own rollback": """
        rollback t9 of t8 4.00 -> ok 10.00
        bet t8 4.00 -> TRANSACTION_ROLLED_BACK 10.00
        bet t8 4.00 -> TRANSACTION_ROLLED_BACK 10.00
        bet t8 4.00 by bob -> TRANSACTION_ROLLED_BACK 10.00
    """,
    "a result after its own rollback": """
        rollback t9 of t8 4.00 -> ok 10.00
        result t8 4.00 -> ok 10.00
        result t8 4.00 -> ok 10.00
        bet t8 4.00 -> TRANSACTION_MISMATCH 10.00
    """,
    "an accepted bet rolled back, twice, with another amount": """
        bet t1 4.00 -> ok 6.00
        rollback t2 of t1 9.99 -> ok 10.00
        rollback t2 of t1 9.99 -> ok 10.00
        rollback t3 of t1 4.00 -> ok 10.00
        bet t1 4.00 -> ok 10.00
    """,
    "a declined bet rolled back": """
        bet t1 99.00 -> INSUFFICIENT_FUNDS 10.00
        rollback t2 of t1 99.00 -> ok 10.00
        bet t1 99.00 -> INSUFFICIENT_FUNDS 10.00
    """,
    "a spent result rolled back leaves a debt": """
        result t1 5.00 -> ok 15.00
        bet t2 15.00 -> ok 0.00
        rollback t3 of t1 5.00 -> ok -5.00
        bet t4 0.01 -> INSUFFICIENT_FUNDS -5.00
        bet t5 0.00 -> ok -5.00
        bet t6 -0 -> ok -5.00
    """,
    "a rollback of a rollback, or of itself": """
        bet t1 4.00 -> ok 6.00
        rollback t2 of t1 4.00 -> ok 10.00
        rollback t3 of t2 4.00 -> ROLLBACK_NOT_ALLOWED 10.00
        rollback t4 of t4 4.00 -> ROLLBACK_NOT_ALLOWED 10.00
        rollback t3 of t2 4.00 -> ROLLBACK_NOT_ALLOWED 10.00
    """,
    "an unknown target, whatever user, currency and amount say": """
        rollback t1 of x1 4.00 by nobody -> ok 10.00
        rollback t2 of x2 -4.00 in NOTHING -> ok 10.00
        rollback t3 of x3 1e999 -> ok 10.00
        rollback t4 of x1 4.00 -> ok 10.00
    """,
    "a rollback must name its target's own user and currency": """
        bet t1 4.00 -> ok 6.00
        rollback t2 of t1 4.00 by bob -> TRANSACTION_MISMATCH 6.00
        rollback t3 of t1 4.00 in USD -> TRANSACTION_MISMATCH 6.00
        rollback t3 of t1 4.00 in USD -> TRANSACTION_MISMATCH 6.00
        rollback t4 of t1 4.00 -> ok 10.00
    """,
    "the same id for another action or target": """
        bet t1 4.00 -> ok 6.00
        result t1 4.00 -> TRANSACTION_MISMATCH 6.00
        rollback t1 of t0 4.00 -> TRANSACTION_MISMATCH 6.00
        bet t2 1.00 -> ok 5.00
        rollback t3 of t1 4.00 -> ok 9.00
        rollback t3 of t2 1.00 -> TRANSACTION_MISMATCH 9.00
    """,
    "what is never stored is decided anew": """
        result t1 5.00 by nobody -> USER_NOT_FOUND 10.00
        result t1 5.00 -> ok 15.00
        bet t2 1.00 in USD -> CURRENCY_MISMATCH 15.00
        bet t2 1.00 in XQX -> INVALID_REQUEST 15.00
        bet t2 1.001 -> INVALID_REQUEST 15.00
        bet t2 -1.00 -> INVALID_REQUEST 15.00
        bet t2 1e19 -> INVALID_REQUEST 15.00
        bet t2 1.000 -> ok 14.00
    """,
    "amount before user before account": """
        bet t1 -1 by nobody in XQX -> INVALID_REQUEST 10.00
        bet t1 1 by nobody in USD -> USER_NOT_FOUND 10.00
        bet t1 1 in USD -> CURRENCY_MISMATCH 10.00
    """,
    "results are paid to whoever is blocked": """
        bet t1 1.00 by blocked -> USER_BLOCKED 10.00
        bet t2 0.00 by blocked -> USER_BLOCKED 10.00
        result t3 1.00 by blocked -> ok 10.00
        rollback t4 of t3 1.00 by blocked -> ok 10.00
        bet t5 999.00 by blocked -> USER_BLOCKED 10.00
    """,
}


class Table:
    """A wallet with alice (10.00 EUR), bob and a blocked player; one batch per line, or one for all."""

    def __init__(self, policy: Policy = Policy()) -> None:  # noqa: B008 - it is immutable
        self.memory = MemoryLedger()
        self.ids = OwnIds(1)
        self.policy = policy
        for name in ("alice", "bob", "blocked"):
            self.memory.add_player(name, "EUR", ids=self.ids)
        opening = LedgerRequest(
            CASHIER, "opening", Kind.DEPOSIT, "alice", "EUR", Decimal(10), policy=CASHIER_POLICY
        )
        self.play([opening])
        self.memory.set_standing("blocked", Status.BLOCKED)

    def play(self, requests: list[LedgerRequest]) -> list[str]:
        known = {key: row for key, row in self.memory.transactions.items() if key in keys_of(requests)}
        plan = resolve(requests, BatchState(self.memory.players, known), moment=MOMENT, ids=self.ids)
        self.memory.apply(plan)
        return [outcome.decline or "ok" for outcome in plan.outcomes]

    def balance(self) -> str:
        return f"{self.memory.players['alice'].accounts['EUR'].balance / 100:.2f}"

    def request(self, words: list[str]) -> LedgerRequest:
        kind, tx_id, *rest = words
        named = dict(zip(rest[::2], rest[1::2], strict=False)) if kind == "rollback" else {}
        target = named.get("of")
        amount, *options = rest[2:] if target else rest
        chosen = dict(zip(options[::2], options[1::2], strict=True))
        user, currency = chosen.get("by", "alice"), chosen.get("in", "EUR")
        return LedgerRequest(
            2, tx_id, KINDS[kind], user, currency, Decimal(amount), target, policy=self.policy
        )


def lines(scenario: str) -> list[tuple[list[str], str, str]]:
    """(words, answer, balance) of each line."""
    found = []
    for line in filter(None, map(str.strip, scenario.splitlines())):
        asked, said = line.split(" -> ")
        answer, balance = said.split()
        found.append((asked.split(), answer, balance))
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_one_after_another(name: str) -> None:
    """Each line gets the answer and leaves the balance that the contract page says."""
    table = Table()
    for words, answer, balance in lines(SCENARIOS[name]):
        assert (table.play([table.request(words)]), table.balance()) == ([answer], balance), words


@pytest.mark.parametrize("name", SCENARIOS)
def test_all_in_one_batch(name: str) -> None:
    """Decided together, the same requests get the same answers and leave the same balance."""
    table = Table()
    said = lines(SCENARIOS[name])
    assert table.play([table.request(words) for words, _, _ in said]) == [answer for _, answer, _ in said]
    assert table.balance() == said[-1][2]


@pytest.mark.parametrize(
    ("policy", "scenario"),
    [
        (
            Policy(refuse_altered=True),
            """
            bet t1 4.00 -> ok 6.00
            bet t1 4.0 -> ok 6.00
            bet t1 4.01 -> TRANSACTION_MISMATCH 6.00
            bet t1 4.00 by bob -> TRANSACTION_MISMATCH 6.00
            bet t1 4.00 -> ok 6.00
            """,
        ),
        (
            Policy(refuse_unknown_rollback=True),
            """
            rollback t1 of t0 4.00 -> ROLLBACK_NOT_ALLOWED 10.00
            rollback t2 of t0 4.00 -> ROLLBACK_NOT_ALLOWED 10.00
            rollback t1 of t0 4.00 -> ROLLBACK_NOT_ALLOWED 10.00
            bet t0 4.00 -> TRANSACTION_ROLLED_BACK 10.00
            rollback t3 of t0 4.00 -> ok 10.00
            rollback t2 of t0 4.00 -> ROLLBACK_NOT_ALLOWED 10.00
            """,
        ),
        (
            Policy(refuse_negative_rollback=True),
            """
            result t1 5.00 -> ok 15.00
            result t2 5.00 -> ok 20.00
            bet t3 15.00 -> ok 5.00
            rollback t4 of t1 5.00 -> ok 0.00
            rollback t5 of t2 5.00 -> ROLLBACK_NOT_ALLOWED 0.00
            rollback t6 of t3 15.00 -> ok 15.00
            rollback t5 of t2 5.00 -> ROLLBACK_NOT_ALLOWED 15.00
            rollback t7 of t2 5.00 -> ok 10.00
            """,
        ),
    ],
    ids=["altered_replay", "unknown_rollback", "rollback_of_result"],
)
def test_profiles(policy: Policy, scenario: str) -> None:
    """What a profile changes, and nothing else."""
    table = Table(policy)
    for words, answer, balance in lines(scenario):
        assert (table.play([table.request(words)]), table.balance()) == ([answer], balance), words


def test_operators_have_ids_of_their_own() -> None:
    """The same id of two operators is two transactions, and one cannot undo the other's."""
    table = Table()
    bet = table.request(["bet", "t1", "1.00"])
    other = LedgerRequest(3, "t1", Kind.BET, "alice", "EUR", Decimal(2))
    undo = LedgerRequest(3, "t2", Kind.ROLLBACK, "alice", "EUR", Decimal(1), "t1")
    assert table.play([bet, other, undo]) == ["ok", "ok", "ok"]
    assert table.balance() == "9.00", "the other operator undid its own bet of 2.00 alone"


def test_resolve_does_not_change_what_it_is_given() -> None:
    """A plan that is not written leaves no trace in the state it was made from."""
    table = Table()
    table.play([table.request(["bet", "t1", "1.00"])])
    before = repr((table.memory.players, table.memory.transactions))
    requests = [table.request(words.split()) for words in ("rollback t2 of t1 1.00", "bet t3 2.00")]
    known = dict(table.memory.transactions)
    resolve(requests, BatchState(table.memory.players, known), moment=MOMENT, ids=table.ids)
    assert repr((table.memory.players, table.memory.transactions)) == before
