"""Hostile play against the reference model, over real HTTP on real PostgreSQL.

The play is that of the pure ledger's machine (`tests/ledger_machine.py`). A batch goes out in one flush on
one connection, so that the service decides it in the same order, as one batch or several. What the outside
cannot do is left out: time stands still, exclusions are never shortened, a closed player stays closed.
"""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from decimal import Decimal
from unittest.mock import ANY  # whether an answer is a copy's cannot be seen from outside
from urllib.parse import quote

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from tests.acceptance.wallet.service import SECRET, Reply, WalletClient, WalletProcess
from tests.ledger_machine import ACCOUNTS, CURRENCIES, LedgerMachine, Move

from stakewire.ledger.types import CASHIER, Decline, Kind, LedgerRequest, Limit, Outcome, Status
from stakewire.money import InvalidAmount, to_minor

OPERATORS: dict[int, tuple[str, dict[str, str]]] = {
    2: ("machine-default", {}),
    3: ("machine-altered", {"altered_replay": "refuse"}),
    4: ("machine-refuse", {"unknown_rollback": "refuse", "rollback_of_result": "refuse"}),
}
ACTIONS = {Kind.BET: "bet", Kind.RESULT: "result", Kind.ROLLBACK: "rollback"}
DECLINES = {"INSUFFICENT_FUNDS": Decline.INSUFFICIENT_FUNDS, "ID_REUSED": Decline.TRANSACTION_MISMATCH}

_examples = itertools.count(1)


class HttpLedger(LedgerMachine):
    """Each example has players and ids of its own on the common database, told apart by a prefix."""

    client: WalletClient

    def __init__(self) -> None:
        super().__init__()
        self.clock.set_wall_clock(datetime.now(UTC))
        self.prefix = f"m{next(_examples)}-"

    def open_accounts(self, accounts: dict[str, tuple[str, ...]]) -> None:
        for user, currencies in accounts.items():
            for currency in currencies:
                body = {"user_id": self.prefix + user, "currency": currency}
                assert self.client.admin("POST", "/players", body).status == 201

    def _play(self, batch: list[Move]) -> None:
        """The admin API reads amount and currency before it knows the id: what is neither is left out."""
        super()._play([move for move in batch if move[0] != CASHIER or _is_money(move)])

    def carry_out(self, requests: list[LedgerRequest]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for is_cashier, group in itertools.groupby(requests, key=lambda asked: asked.operator_id == CASHIER):
            run = list(group)
            outcomes += [self._cashier(asked) for asked in run] if is_cashier else self._callbacks(run)
        return outcomes

    def balances(self) -> dict[tuple[str, str], int]:
        found = {}
        for user in ACCOUNTS:
            for account in self._player("GET", user, "").json["accounts"]:
                currency = CURRENCIES.get(account["currency"])
                minor = Decimal(account["balance"]).scaleb(currency.exponent)
                found[user, currency.code] = int(minor)
        return found

    @rule(user=st.sampled_from(sorted(ACCOUNTS)), status=st.sampled_from([Status.ACTIVE, Status.BLOCKED]))
    def change_standing(self, user: str, status: Status) -> None:
        """Blocks and unblocks, which leave an exclusion as it is."""
        word = "block" if status is Status.BLOCKED else "unblock"
        assert self._player("POST", user, f"/{word}").json["status"] == status.value
        self.model.players[user].standing = status.value

    @rule(years=st.integers(1, 3))
    def exclude(self, years: int) -> None:
        """One player is excluded, for longer each time."""
        until = self.clock.now().replace(year=self.clock.now().year + years, month=1, day=1)
        known = self.model.players["bob"]
        shorter = known.excluded_until is not None and until < known.excluded_until
        answer = self._player("POST", "bob", "/exclusion", {"until": until.isoformat()})
        assert answer.status == (409 if shorter else 200)
        if not shorter:
            known.excluded_until = until

    def limit(self, user: str, currency: str, limits: list[Limit]) -> None:
        wanted = {(limit.kind.value, limit.period.value): limit.amount_minor for limit in limits}
        for kind, per in itertools.product(("stake", "loss"), ("day", "week", "month")):
            minor = wanted.get((kind, per))
            amount = None if minor is None else f"{minor // 100}.{minor % 100:02}"
            body = {"kind": kind, "per": per, "currency": currency, "amount": amount}
            assert self._player("PUT", user, "/limits", body).status == 200

    def wait(self, hours: int) -> None:
        """Not a rule here: the service has a clock of its own."""

    def _player(
        self, method: str, user: str, path: str, body: object = None, key: str | None = None
    ) -> Reply:
        return self.client.admin(method, f"/players/{quote(self.prefix + user)}{path}", body, key)

    def _cashier(self, asked: LedgerRequest) -> Outcome:
        word = "deposits" if asked.kind is Kind.DEPOSIT else "withdrawals"
        body = {"amount": f"{asked.amount:f}".lstrip("-"), "currency": asked.currency}
        answer = self._player(
            "POST", asked.user_id, f"/{word}", body, self.prefix + asked.tx_id.replace(" ", "-")
        )
        if answer.status == 200:
            return Outcome(None, int(answer.json["id"]), ANY, ANY)
        code = answer.json["error"]
        return Outcome(DECLINES.get(code) or Decline(code), None, ANY, ANY)

    def _callbacks(self, requests: list[LedgerRequest]) -> list[Outcome]:
        wire = [(OPERATORS[asked.operator_id][0], self._body(asked)) for asked in requests]
        return [_outcome(reply) for reply in self.client.pipeline(wire)]

    def _body(self, asked: LedgerRequest) -> bytes:
        fields = {
            "transaction_id": self.prefix + asked.tx_id,
            "action": ACTIONS[asked.kind],
            "user_id": self.prefix + asked.user_id,
            "currency": asked.currency,
        }
        if asked.target_id is not None:
            fields["rollback_transaction_id"] = self.prefix + asked.target_id
        return (json.dumps(fields)[:-1] + f', "amount": {asked.amount}}}').encode()


def _is_money(move: Move) -> bool:
    currency = CURRENCIES.find(move[4])
    try:
        return currency is not None and to_minor(move[5], currency) >= 0
    except InvalidAmount:
        return False


def _outcome(reply: Reply) -> Outcome:
    assert reply.status == 200, reply
    if reply.error is None:
        return Outcome(None, int(reply.json["transaction_id"]), ANY, ANY)
    return Outcome(DECLINES.get(reply.error) or Decline(reply.error), None, ANY, ANY)


def test_the_service_answers_as_the_model_says(wallet: WalletProcess) -> None:
    """Every answer, own id and balance, in every batch Hypothesis can think of; and the ledger verifies."""
    with wallet.client() as client:
        for name, profile in OPERATORS.values():
            body = {"name": name, "security_hash": SECRET, "profile": profile}
            assert client.admin("POST", "/operators", body).status == 201

        class Machine(HttpLedger):
            pass

        Machine.client = client
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=12,
                stateful_step_count=12,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        assert client.admin("GET", "/verify").json["problems"] == []
