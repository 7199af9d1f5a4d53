"""Hostile play against a ledger and the reference model side by side; the ledger is a subclass's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.model import ASKED, Model, Player, Rules, Stored

from stakewire.ledger.types import (
    CASHIER,
    CASHIER_POLICY,
    Kind,
    LedgerRequest,
    Limit,
    LimitKind,
    Outcome,
    Period,
    Policy,
    Status,
)
from stakewire.money import Currencies
from stakewire.testing.clock import ManualClock

CURRENCIES = Currencies({"EUR": 2, "JPY": 0, "BTC": 8})
START = datetime(2026, 1, 30, 23, 40, tzinfo=UTC)  # a Friday: week, month and year turn soon
ACCOUNTS = {"ann": ("EUR", "JPY"), "bob": ("EUR",), "ced": ("BTC", "EUR")}
POLICIES = {
    CASHIER: CASHIER_POLICY,
    2: Policy(),
    3: Policy(refuse_altered=True),
    4: Policy(refuse_unknown_rollback=True, refuse_negative_rollback=True),
}
KINDS = {"bet": Kind.BET, "result": Kind.RESULT, "rollback": Kind.ROLLBACK}
KINDS |= {"deposit": Kind.DEPOSIT, "withdraw": Kind.WITHDRAW}

Move = tuple[int, str, str, str, str, Decimal, str | None]
"""(operator, id, action, user, currency, amount, target)"""

_amounts = st.sampled_from(
    [
        "0",
        "-0",
        "1",
        "1.0",
        "2.5",
        "2.50",
        "3",
        "3e0",
        "10",
        "1e1",
        "0.01",
        "7.77",
        "0.001",
        "-1",
        "1e30",
        "250",
    ]
).map(Decimal)
_ids = st.sampled_from([f"t{number}" for number in range(8)])
_users = st.sampled_from(["ann", "ann", "ann", "bob", "ced", "ghost"])
_money = st.sampled_from(["EUR", "EUR", "EUR", "EUR", "JPY", "BTC", "XXQ", "\0 odd"])


@st.composite
def moves(draw: st.DrawFn) -> Move:
    """One request: mostly sensible, on few ids, so that they meet."""
    action = draw(
        st.sampled_from(["bet", "bet", "bet", "result", "rollback", "rollback", "deposit", "withdraw"])
    )
    operator = CASHIER if action in ("deposit", "withdraw") else draw(st.sampled_from([2, 2, 3, 4]))
    target = draw(_ids) if action == "rollback" else None
    return operator, draw(_ids), action, draw(_users), draw(_money), draw(_amounts), target


class LedgerMachine(RuleBasedStateMachine):
    """Plays batches; every answer, every balance and every own id must be as the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(START)
        self.model = Model({"EUR": 2, "JPY": 0, "BTC": 8})
        self.played: list[Move] = []
        self.own_ids: dict[tuple[int, str], int] = {}
        self.fresh = 0

    # What the subclass provides.

    def open_accounts(self, accounts: dict[str, tuple[str, ...]]) -> None:
        raise NotImplementedError

    def carry_out(self, requests: list[LedgerRequest]) -> list[Outcome]:
        raise NotImplementedError

    def balances(self) -> dict[tuple[str, str], int]:
        raise NotImplementedError

    def stand(self, user: str, status: Status, excluded_until: datetime | None) -> None:
        raise NotImplementedError

    def limit(self, user: str, currency: str, limits: list[Limit]) -> None:
        raise NotImplementedError

    # What is played.

    @initialize()
    def open(self) -> None:
        self.open_accounts(ACCOUNTS)
        for user, currencies in ACCOUNTS.items():
            self.model.players[user] = Player(dict.fromkeys(currencies, 0))
        self._play(
            [(CASHIER, f"opening {user}", "deposit", user, "EUR", Decimal(20), None) for user in ACCOUNTS]
        )

    @rule(batch=st.lists(moves(), min_size=1, max_size=14))
    def play(self, batch: list[Move]) -> None:
        self._play(batch)

    @rule(data=st.data(), fresh=st.lists(moves(), max_size=4))
    def play_copies(self, data: st.DataObject, fresh: list[Move]) -> None:
        """Earlier requests again, as they were or altered, among new ones."""
        again = data.draw(st.lists(st.sampled_from(self.played), min_size=1, max_size=6))
        copies = [self._copy(move, data) for move in again]
        self._play(data.draw(st.permutations(copies + fresh)))

    @staticmethod
    def _copy(move: Move, data: st.DataObject) -> Move:
        operator, tx, action, user, currency, amount, target = move
        match data.draw(st.sampled_from(["same", "same", "rewritten", "altered"])):
            case "rewritten":  # the same amount by value
                plain = f"{amount:f}"
                amount = Decimal(plain + ("0" if "." in plain else ".00"))
            case "altered":
                user, currency, amount = data.draw(_users), data.draw(_money), data.draw(_amounts)
        return operator, tx, action, user, currency, amount, target

    @rule(data=st.data(), count=st.integers(1, 4))
    def undo_earlier(self, data: st.DataObject, count: int) -> None:
        """Rollbacks of requests that came before, by the same operator, user and currency."""
        ids = [f"r{number}" for number in range(5)]
        targets = [data.draw(st.sampled_from(self.played)) for _ in range(count)]
        self._play(
            [
                (move[0], data.draw(st.sampled_from(ids)), "rollback", move[3], move[4], move[5], move[1])
                for move in targets
                if move[0] != CASHIER
            ]
        )

    @rule(
        user=st.sampled_from(sorted(ACCOUNTS)), status=st.sampled_from(list(Status)), hours=st.integers(0, 30)
    )
    def change_standing(self, user: str, status: Status, hours: int) -> None:
        until = self.clock.now() + timedelta(hours=hours) if hours > 20 else None
        self.stand(user, status, until)
        self.model.players[user].standing = status.value
        self.model.players[user].excluded_until = until
        paid, bet = self._new_id(), self._new_id()
        self._play(
            [
                (2, paid, "result", user, "EUR", Decimal(1), None),
                (2, bet, "bet", user, "EUR", Decimal(1), None),
            ]
        )

    @rule(
        user=st.sampled_from(sorted(ACCOUNTS)),
        kind=st.sampled_from(list(LimitKind)),
        period=st.sampled_from(list(Period)),
        amount=st.sampled_from([None, 0, 100, 500, 1000]),
    )
    def set_limit(self, user: str, kind: LimitKind, period: Period, amount: int | None) -> None:
        self.change_limit(user, kind, period, amount)

    def change_limit(self, user: str, kind: LimitKind, period: Period, amount: int | None) -> None:
        limits = self.model.players[user].limits
        if amount is None:
            limits.pop(("EUR", kind.value, period.value), None)
        else:
            limits["EUR", kind.value, period.value] = amount
        self.limit(
            user,
            "EUR",
            [Limit(LimitKind(kind), Period(per), minor) for (_, kind, per), minor in limits.items()],
        )

    @rule(
        user=st.sampled_from(sorted(ACCOUNTS)),
        parts=st.lists(st.sampled_from([1, 2, 3]), min_size=2, max_size=5),
    )
    def spend_it_all(self, user: str, parts: list[int]) -> None:
        """Several bets in one batch that together ask for more than there is."""
        cents = max(self.model.players[user].balances["EUR"], 0)
        self._play(
            [(2, self._new_id(), "bet", user, "EUR", Decimal(cents // part) / 100, None) for part in parts]
        )

    @rule(
        user=st.sampled_from(sorted(ACCOUNTS)),
        kind=st.sampled_from(list(LimitKind)),
        period=st.sampled_from(list(Period)),
        undo=st.booleans(),
        at_once=st.booleans(),
    )
    def play_to_the_limit(
        self, user: str, kind: LimitKind, period: Period, undo: bool, at_once: bool
    ) -> None:
        """A limit that leaves room for one bet: a second fits only if the first is rolled back."""
        used = self.model.used(user, "EUR", kind.value, period.value, self.clock.now().date())
        self.change_limit(user, kind, period, max(used, 0) + 100)
        first, amount = self._new_id(), Decimal(1)
        moves: list[Move] = [(2, first, "bet", user, "EUR", amount, None)]
        if undo:
            moves.append((2, self._new_id(), "rollback", user, "EUR", amount, first))
        moves.append((2, self._new_id(), "bet", user, "EUR", amount, None))
        for batch in [moves] if at_once else [[move] for move in moves]:
            self._play(batch)

    def _new_id(self) -> str:
        self.fresh += 1
        return f"n{self.fresh}"

    @rule(hours=st.integers(1, 40))
    def wait(self, hours: int) -> None:
        self.clock.advance(hours * 3600.0)

    @invariant()
    def balances_are_the_models(self) -> None:
        said = {
            (user, currency): minor
            for user, player in self.model.players.items()
            for currency, minor in player.balances.items()
        }
        assert self.balances() == said

    def _play(self, batch: list[Move]) -> None:
        if not batch:
            return
        outcomes = self.carry_out([self.request(move) for move in batch])
        assert len(outcomes) == len(batch)
        for move, outcome in zip(batch, outcomes, strict=True):
            self.played.append(move)
            operator, tx, action, user, currency, amount, target = move
            rules = Rules(*POLICIES[operator])
            asked = Stored(action, user, currency, amount, target)
            first = self.model.stored.get((operator, tx))
            is_copy = first is not None and first.action is not None
            altered = is_copy and any(getattr(first, name) != getattr(asked, name) for name in ASKED)
            said = self.model.ask(operator, tx, asked, self.clock.now(), rules)
            assert outcome.decline == said, f"{move}: {outcome}, but the model says {said}"
            assert (outcome.replay, outcome.altered) == (is_copy, altered), f"{move}: {outcome}"
            self._check_own_id((operator, tx), outcome)

    def _check_own_id(self, key: tuple[int, str], outcome: Outcome) -> None:
        if outcome.own_id is None:
            assert outcome.decline is not None
            return
        assert self.own_ids.setdefault(key, outcome.own_id) == outcome.own_id, "an id's own id never changes"
        assert len(set(self.own_ids.values())) == len(self.own_ids), "own ids are unique"

    def request(self, move: Move) -> LedgerRequest:
        """The move as the ledger is asked."""
        operator, tx, action, user, currency, amount, target = move
        return LedgerRequest(
            operator, tx, KINDS[action], user, currency, amount, target, b"{}", POLICIES[operator]
        )
