"""A player's own limits: calendar windows, and what counts in them (contract section 3, last table).

Stakes count on the day they are accepted and stop counting, on that same day, when they are rolled
back; results likewise. So a window is a sum of whole days, and one row per account and day is enough.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stakewire.errors import ConfigError
from stakewire.ledger.types import AccountState, Kind, LimitKind, Period


class Calendar:
    """Days, weeks and months in the wallet's time zone."""

    __slots__ = ("zone",)

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone

    @classmethod
    def named(cls, name: str) -> Calendar:
        """The calendar of an IANA zone.

        Raises:
            ConfigError: no such zone is known.
        """
        try:
            return cls(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(
                f"time zone {name!r} is not known; use a name like 'UTC' or 'Europe/Malta'"
            ) from error

    @property
    def zone_name(self) -> str:
        """The zone as PostgreSQL knows it: an IANA name."""
        return getattr(self.zone, "key", "UTC")

    def day_of(self, moment: datetime) -> date:
        """The calendar day that an aware `moment` falls on."""
        return moment.astimezone(self.zone).date()

    def start(self, period: Period, today: date) -> date:
        """The first day of the running day, week (from Monday) or month."""
        match period:
            case Period.DAY:
                return today
            case Period.WEEK:
                return today - timedelta(days=today.weekday())
            case Period.MONTH:
                return today.replace(day=1)

    def earliest(self, today: date) -> date:
        """The first day that any running window still reaches: at most 31 days back."""
        return min(self.start(Period.WEEK, today), self.start(Period.MONTH, today))


def used_minor(account: AccountState, kind: LimitKind, first_day: date) -> int:
    """What counts against a limit of `kind` since `first_day`; a loss may be negative (a win)."""
    total = 0
    for day, use in account.days.items():
        if day >= first_day:
            total += use.stakes_minor
            if kind is LimitKind.LOSS:
                total -= use.results_minor
    return total


def would_exceed(account: AccountState, stake_minor: int, today: date, calendar: Calendar) -> bool:
    """Whether a bet of `stake_minor` more would pass one of the account's limits today."""
    return any(
        used_minor(account, limit.kind, calendar.start(limit.period, today)) + stake_minor
        > limit.amount_minor
        for limit in account.limits
    )


def day_change(kind: Kind, delta: int) -> tuple[int, int]:
    """(stakes, results) that a posting of `delta` adds to the day of the bet or result it belongs to.

    A rollback is passed with the kind of its target: it takes away what the target added.
    """
    if kind is Kind.BET:
        return -delta, 0
    if kind is Kind.RESULT:
        return 0, delta
    return 0, 0
