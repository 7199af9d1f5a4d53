"""Claims about money: exact in every direction, or refused."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire import money
from stakewire.errors import InvalidInput
from stakewire.money import (
    MAX_WHOLE_UNITS,
    Currencies,
    Currency,
    InvalidAmount,
    format_minor,
    from_minor,
    parse_amount,
    to_minor,
)

EUR = Currency("EUR", 2)
currencies = st.integers(0, 18).map(lambda places: Currency("XXX", places))
written = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,12})?", fullmatch=True)


def written_out(text: str) -> str:
    """The digits in plain notation, found by moving the point by hand; '' if there are too many."""
    mantissa, _, power = text.lstrip("-").lower().partition("e")
    whole, _, decimals = mantissa.partition(".")
    shift = int(power or 0)
    if not (whole + decimals).strip("0"):
        shift = min(shift, len(decimals))  # zero is not made longer by an exponent
    if abs(shift) > 200:
        return ""
    digits, point = whole + decimals, len(whole) + shift
    if point < 1:
        digits, point = "0" * (1 - point) + digits, 1
    digits = digits.ljust(point, "0")
    return (digits[:point].lstrip("0") or "0") + digits[point:]


@given(written, currencies)
def test_to_minor_is_exact_or_refuses(text: str, currency: Currency) -> None:
    """The rules of the contract, told a second time with fractions: value, decimals, digits, size, sign."""
    digits = written_out(text)
    expected = None
    if digits and len(digits) <= 38:
        scaled = Fraction(Decimal(text)) * 10**currency.exponent
        if scaled.denominator == 1 and 0 <= scaled <= MAX_WHOLE_UNITS * 10**currency.exponent:
            expected = int(scaled)
    if expected is None:
        with pytest.raises(InvalidAmount):
            to_minor(Decimal(text), currency)
    else:
        assert to_minor(Decimal(text), currency) == expected


@given(st.integers(0, 10**20), currencies)
def test_there_and_back(minor: int, currency: Currency) -> None:
    """Minor units become a decimal with all decimals of the currency, and come back unchanged."""
    if minor <= MAX_WHOLE_UNITS * 10**currency.exponent:
        assert to_minor(from_minor(minor, currency), currency) == minor
        assert parse_amount(format_minor(minor, currency), currency) == minor
    decimals = format_minor(minor, currency).partition(".")[2]
    assert len(decimals) == currency.exponent


@pytest.mark.parametrize(
    ("minor", "places", "text"),
    [(-350, 2, "-3.50"), (10000, 2, "100.00"), (-5, 2, "-0.05"), (0, 2, "0.00"), (7, 0, "7"), (-7, 0, "-7")],
)
def test_format_minor(minor: int, places: int, text: str) -> None:
    """Plain notation, a sign only below zero, no thousands separators."""
    assert format_minor(minor, Currency("XXX", places)) == text
    assert from_minor(minor, Currency("XXX", places)) == Decimal(text)


def test_the_decimal_context_has_no_say() -> None:
    """A program that set its own precision, bounds or traps gets the same money."""
    context = Context(prec=2, Emax=3, Emin=-3, capitals=0)
    for name in context.traps:
        context.traps[name] = True
    large = Decimal("123456789012345678.99")
    power = Decimal("1.5E+9")
    with localcontext(context):
        assert to_minor(large, EUR) == 12345678901234567899
        assert to_minor(power, EUR) == 150000000000
        assert from_minor(12345678901234567899, EUR) == large


@pytest.mark.parametrize("text", ["1e999999999999999999", "1e-999999999999999999", "-1e999999999999999999"])
def test_no_exponent_is_expanded(text: str) -> None:
    """A number that would fill the memory when written out is refused from its exponent alone."""
    with pytest.raises(InvalidAmount):
        to_minor(Decimal(text), EUR)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "-NaN", "Infinity", "-Infinity", "NaN123"])
def test_no_special_number_is_money(text: str) -> None:
    """Not-a-number and infinity are no amounts."""
    with pytest.raises(InvalidAmount, match="finite"):
        to_minor(Decimal(text), EUR)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 ",
        " 1",
        "+1",
        "-1",
        "-0",
        "1e2",
        ".5",
        "5.",
        "1,5",
        "1_0",
        "١",
        "0x1",
        "NaN",
        "1.2.3",
        "9" * 40,
        "1\n",
    ],
)
def test_amounts_typed_by_people_are_plain(text: str) -> None:
    """The shell and the admin API take `10` and `3.50`, nothing that could be meant in two ways."""
    with pytest.raises(InvalidAmount):
        parse_amount(text, EUR)


def test_typed_amounts() -> None:
    """Decimals count by value here too."""
    assert parse_amount("10", EUR) == 1000
    assert parse_amount("3.5", EUR) == 350
    assert parse_amount("3.500", EUR) == 350
    with pytest.raises(InvalidAmount, match="2 decimals of EUR"):
        parse_amount("3.501", EUR)


def test_default_currencies() -> None:
    """ISO 4217 with its minor units, and coins with up to 18 places."""
    known = Currencies.default()
    for code, places in {
        "EUR": 2,
        "USD": 2,
        "JPY": 0,
        "KWD": 3,
        "CLF": 4,
        "BTC": 8,
        "USDT": 6,
        "ETH": 18,
    }.items():
        assert known.get(code) == Currency(code, places)
    for code in ("XYZ", "eur", "EUR ", "", "XAU", "XXX"):
        assert known.find(code) is None
        with pytest.raises(InvalidInput, match="no currency known here"):
            known.get(code)


def test_extra_currencies() -> None:
    """More by config; those that exist keep their decimals, or stored money would change its meaning."""
    more = Currencies.default().with_extra({"XYZ": 3, "EUR": 2})
    assert more.get("XYZ").exponent == 3
    assert more.find("GBP") is not None
    with pytest.raises(InvalidInput, match="EUR has 2 decimals"):
        more.with_extra({"EUR": 3})


@pytest.mark.parametrize(
    ("code", "places"),
    [
        ("", 2),
        ("E", 2),
        ("eur", 2),
        ("EU R", 2),
        ("ABCDEFGHIJKLM", 2),
        ("ABC", -1),
        ("ABC", 19),
        ("ABC", True),
    ],
)
def test_unusable_currencies(code: str, places: int) -> None:
    """A currency that could not be written or stored is refused by name."""
    with pytest.raises(InvalidInput):
        Currencies({code: places})


def test_the_fast_path_and_the_exact_one_agree_on_ordinary_money() -> None:
    """Every amount from 0.00 to 30.00 in two writings."""
    for minor in range(3001):
        amount = Decimal(minor) / 100
        assert to_minor(amount, EUR) == money._to_minor_exact(amount, EUR) == minor
        assert to_minor(from_minor(minor, EUR), EUR) == minor
