"""Calendar windows, and when two requests are the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stakewire.ledger.fingerprint import fingerprint, storable_amount, storable_currency
from stakewire.ledger.limits import Calendar
from stakewire.ledger.types import Kind, LedgerRequest, Period

_texts = st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)


def ask(amount: Decimal, *, kind: Kind = Kind.BET, user: str = "u", currency: str = "EUR") -> LedgerRequest:
    """A request that differs from others in what is given alone."""
    return LedgerRequest(2, "t", kind, user, currency, amount)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
@example(Decimal("0"), Decimal("-0.00"))
@example(Decimal("1e2"), Decimal("100.0"))
@example(Decimal("1E+400"), Decimal("10E+399"))
@example(Decimal("9007199254740993.01"), Decimal("9007199254740993.02"))
def test_amounts_are_compared_by_value(one: Decimal, other: Decimal) -> None:
    """Two fingerprints are equal exactly when the amounts are, however they are written."""
    assert (fingerprint(ask(one)) == fingerprint(ask(other))) == (one == other)


@given(st.tuples(_texts, st.text(max_size=4)), st.tuples(_texts, st.text(max_size=4)))
def test_no_two_requests_share_a_fingerprint(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Whatever a currency may hold, it cannot be taken for a part of the user's name."""
    marks = [fingerprint(ask(Decimal(1), user=user, currency=currency)) for user, currency in (one, other)]
    assert (marks[0] == marks[1]) == (one == other)


def test_the_action_is_part_of_it() -> None:
    """A bet and a result of the same amount are not copies of each other."""
    assert fingerprint(ask(Decimal(1))) != fingerprint(ask(Decimal(1), kind=Kind.RESULT))


@given(st.decimals())
def test_a_stored_amount_is_exact_or_missing(amount: Decimal) -> None:
    """What is stored reads back as the same number; what no column could hold is left to the raw request."""
    text = storable_amount(amount)
    if text is not None:
        assert len(text) <= 60
        assert Decimal(text) == amount


@given(st.text(max_size=100))
def test_any_currency_text_can_be_stored(currency: str) -> None:
    """PostgreSQL takes it: no NUL, no lone surrogate, and it is short."""
    stored = storable_currency(currency)
    assert "\0" not in stored
    assert len(stored.encode()) <= 128


@pytest.mark.parametrize(
    ("period", "first"),
    [(Period.DAY, date(2026, 3, 1)), (Period.WEEK, date(2026, 2, 23)), (Period.MONTH, date(2026, 3, 1))],
)
def test_windows_are_calendar_ones(period: Period, first: date) -> None:
    """On Sunday, 1 March, the week began in February."""
    calendar = Calendar(UTC)
    assert calendar.start(period, date(2026, 3, 1)) == first
    assert calendar.earliest(date(2026, 3, 1)) == date(2026, 2, 23)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_no_window_reaches_back_over_thirty_days(today: date) -> None:
    """So at most 31 days are read for a limited account, today's included."""
    calendar = Calendar(UTC)
    earliest = calendar.earliest(today)
    assert timedelta(0) <= today - earliest <= timedelta(days=30)
    assert all(calendar.start(period, today) >= earliest for period in Period)


def test_a_day_is_the_zones() -> None:
    """Late evening in London is the next day in Malta."""
    moment = datetime(2026, 6, 30, 22, 30, tzinfo=UTC)
    assert Calendar(UTC).day_of(moment) == date(2026, 6, 30)
    assert Calendar(ZoneInfo("Europe/Malta")).day_of(moment) == date(2026, 7, 1)
    assert (Calendar(UTC).zone_name, Calendar(ZoneInfo("Europe/Malta")).zone_name) == ("UTC", "Europe/Malta")
