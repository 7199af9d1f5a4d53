"""The wallet as the contract page tells it: one request after another, dictionaries, no batches.

Written from the page, not from the ledger's code, which is tested against it. Sections are the page's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

ASKED = ("action", "user", "currency", "amount", "target")


@dataclass
class Player:
    balances: dict[str, int] = field(default_factory=dict)
    standing: str = "active"
    excluded_until: datetime | None = None
    limits: dict[tuple[str, str, str], int] = field(default_factory=dict)  # (currency, kind, per)


@dataclass
class Stored:
    """What is kept for ever under an id; `action` None is a tombstone that nothing has met yet."""

    action: str | None
    user: str
    currency: str
    amount: Decimal | None
    target: str | None
    error: str | None = None
    moved: int = 0
    day: date | None = None
    undone: bool = False
    tombstone: bool = False


@dataclass(frozen=True)
class Rules:
    """The profile."""

    refuse_altered: bool = False
    refuse_unknown_rollback: bool = False
    refuse_negative_rollback: bool = False


class Model:
    def __init__(self, exponents: dict[str, int]) -> None:
        self.exponents = exponents
        self.players: dict[str, Player] = {}
        self.stored: dict[tuple[int, str], Stored] = {}

    def ask(self, operator: int, tx: str, asked: Stored, now: datetime, rules: Rules) -> str | None:
        """The error, or None for success."""
        known = self.stored.get((operator, tx))
        if known is None:
            asked.day = now.date()
            if asked.action == "rollback":
                return self._rollback(operator, tx, asked, rules)
            return self._move(operator, tx, asked, now)
        if known.action is None:  # a tombstone is the id's, whoever comes; a result is undone already
            known.__dict__ |= {name: getattr(asked, name) for name in ASKED}
            known.error = None if asked.action == "result" else "TRANSACTION_ROLLED_BACK"
            return known.error
        if all(getattr(known, name) == getattr(asked, name) for name in ASKED):
            return known.error
        another_target = known.target != asked.target and not known.tombstone
        if known.action != asked.action or another_target or rules.refuse_altered:
            return "TRANSACTION_MISMATCH"
        return known.error

    def _move(self, operator: int, tx: str, asked: Stored, now: datetime) -> str | None:
        minor = self._minor(asked)
        if minor is None:
            return "INVALID_REQUEST"
        if asked.user not in self.players:
            return "USER_NOT_FOUND"
        player = self.players[asked.user]
        if asked.currency not in player.balances:
            return "CURRENCY_MISMATCH"
        takes = asked.action in ("bet", "withdraw")
        if asked.action == "bet":
            excluded = player.excluded_until is not None and now < player.excluded_until
            if player.standing != "active" or excluded:
                asked.error = "USER_BLOCKED"
            elif minor and self._passes_a_limit(asked, minor, now.date()):
                asked.error = "LIMIT_EXCEEDED"
        if asked.error is None and takes and minor and minor > player.balances[asked.currency]:
            asked.error = "INSUFFICIENT_FUNDS"
        if asked.error is None:
            self._post(asked, -minor if takes else minor)
        self.stored[operator, tx] = asked
        return asked.error

    def _rollback(self, operator: int, tx: str, asked: Stored, rules: Rules) -> str | None:
        assert asked.target is not None
        target = self.stored.get((operator, asked.target))
        if asked.target == tx:
            asked.error = "ROLLBACK_NOT_ALLOWED"
        elif target is None or target.action is None:  # a tombstone that nothing has met is as unknown
            stone = Stored(None, asked.user, asked.currency, None, None, undone=True, tombstone=True)
            self.stored.setdefault((operator, asked.target), stone)
            asked.error = "ROLLBACK_NOT_ALLOWED" if rules.refuse_unknown_rollback else None
        elif target.tombstone:
            pass
        elif target.action not in ("bet", "result"):
            asked.error = "ROLLBACK_NOT_ALLOWED"
        elif (target.user, target.currency) != (asked.user, asked.currency):
            asked.error = "TRANSACTION_MISMATCH"
        elif target.error is None and not target.undone:
            left = self.players[target.user].balances[target.currency] - target.moved
            if rules.refuse_negative_rollback and target.moved > 0 and left < 0:
                asked.error = "ROLLBACK_NOT_ALLOWED"
            else:
                self._post(asked, -target.moved)
                target.undone = True
        self.stored[operator, tx] = asked
        return asked.error

    def _post(self, asked: Stored, moved: int) -> None:
        asked.moved = moved
        self.players[asked.user].balances[asked.currency] += moved

    def _minor(self, asked: Stored) -> int | None:
        assert asked.amount is not None
        if asked.currency not in self.exponents or asked.amount < 0 or asked.amount > 10**18:
            return None
        minor = Fraction(asked.amount) * 10 ** self.exponents[asked.currency]
        return int(minor) if minor.denominator == 1 else None

    def used(self, user: str, currency: str, kind: str, per: str, today: date) -> int:
        """Stakes, or stakes minus results, of the running day, week or month, that were not rolled back."""
        first = {"day": today, "week": today - timedelta(today.weekday()), "month": today.replace(day=1)}[per]
        total = 0
        for entry in self.stored.values():
            mine = (entry.user, entry.currency) == (user, currency) and not entry.undone and entry.moved
            counts = entry.action == "bet" or (entry.action == "result" and kind == "loss")
            if mine and counts and entry.day is not None and entry.day >= first:
                total -= entry.moved
        return total

    def _passes_a_limit(self, asked: Stored, minor: int, today: date) -> bool:
        limits = self.players[asked.user].limits
        return any(
            self.used(asked.user, asked.currency, kind, per, today) + minor > limit
            for (currency, kind, per), limit in limits.items()
            if currency == asked.currency
        )
