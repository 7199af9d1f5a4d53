"""Exact money: integers of a currency's minor unit inside, decimals at the edge, never a float.

Nothing here depends on the thread's decimal context, and no number, however it is written, is expanded before
its size is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from stakewire.currencies import CRYPTO, ISO_4217
from stakewire.errors import InvalidInput

MAX_DIGITS: Final = 38
"""Digits of an amount written out without an exponent, trailing zeros included (contract section 3)."""
MAX_WHOLE_UNITS: Final = 10**18
MAX_EXPONENT: Final = 18

_POWERS: Final[tuple[int, ...]] = tuple(10**places for places in range(MAX_EXPONENT + 1))
_CODE: Final = re.compile(r"[A-Z][A-Z0-9]{1,11}", re.ASCII)
_PLAIN: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)


class InvalidAmount(InvalidInput):
    """Not an amount of money in this currency. Amounts are refused, never rounded."""


@dataclass(frozen=True, slots=True)
class Currency:
    """A code such as EUR, and how many decimals its minor unit has (EUR 2, JPY 0, ETH 18)."""

    code: str
    exponent: int


class Currencies:
    """The currencies of one installation. Codes are exact: `eur` is not `EUR`."""

    __slots__ = ("_by_code",)

    def __init__(self, exponents: Mapping[str, int]) -> None:
        """Take `{code: decimals of the minor unit}`.

        Raises:
            InvalidInput: a code or an exponent is not usable; the message names it.
        """
        for code, exponent in exponents.items():
            if not _CODE.fullmatch(code):
                raise InvalidInput(f"currency code {code!r} must be 2 to 12 of A-Z and 0-9, a letter first")
            if type(exponent) is not int or not 0 <= exponent <= MAX_EXPONENT:
                raise InvalidInput(f"currency {code}: decimals must be 0 to {MAX_EXPONENT}, not {exponent!r}")
        self._by_code = {code: Currency(code, exponent) for code, exponent in exponents.items()}

    @classmethod
    def default(cls) -> Currencies:
        """ISO 4217's active currencies with their minor units, and the common coins."""
        return cls({**ISO_4217, **CRYPTO})

    def with_extra(self, exponents: Mapping[str, int]) -> Currencies:
        """These and more, from the configuration.

        Raises:
            InvalidInput: a code is not usable, or is known already with other decimals: stored minor units
                would change their meaning.
        """
        known = {code: currency.exponent for code, currency in self._by_code.items()}
        for code, exponent in exponents.items():
            if known.get(code, exponent) != exponent:
                raise InvalidInput(f"currency {code} has {known[code]} decimals, which cannot be changed")
        return Currencies({**known, **exponents})

    def find(self, code: str) -> Currency | None:
        """The currency, or None if this installation does not know it."""
        return self._by_code.get(code)

    def get(self, code: str) -> Currency:
        """The currency.

        Raises:
            InvalidInput: this installation does not know it.
        """
        currency = self._by_code.get(code)
        if currency is None:
            raise InvalidInput(f"{code!r} is no currency known here; add it to the setting `currencies`")
        return currency

    def codes(self) -> list[str]:
        """All codes, in alphabetical order."""
        return sorted(self._by_code)


def to_minor(amount: Decimal, currency: Currency) -> int:
    """The amount in minor units, exactly (contract section 3, "exponent form, size").

    `10.000` EUR is 1000, `1e2` is 10000, and `-0` is 0.

    Raises:
        InvalidAmount: negative, not finite, more decimals by value than the currency has, over 38 digits
            written out, or over 10**18 whole units.
    """
    text = str(amount)
    whole, _, decimals = text.partition(".")
    spare = currency.exponent - len(decimals)
    digits = whole + decimals
    if spare >= 0 and len(whole) <= 18 and digits.isdigit():
        return int(digits) * _POWERS[spare]
    return _to_minor_exact(amount, currency)


def _to_minor_exact(amount: Decimal, currency: Currency) -> int:
    """Every number there is; the fast case above must agree with it."""
    negative, digits, exponent = amount.as_tuple()
    if not isinstance(exponent, int):
        raise InvalidAmount("the amount is not a finite number")
    if _written_digits(amount) > MAX_DIGITS:
        raise InvalidAmount(f"the amount has more than {MAX_DIGITS} digits written out")
    if not amount:
        return 0
    if negative:
        raise InvalidAmount("the amount is negative")
    minor = int("".join(map(str, digits)))  # at most 38 digits by now
    shift = exponent + currency.exponent
    if shift >= 0:
        minor *= 10**shift
    else:
        minor, remainder = divmod(minor, 10**-shift)
        if remainder:
            places = f"{currency.exponent} decimals of {currency.code}"
            raise InvalidAmount(f"the amount has more than the {places}")
    if minor > MAX_WHOLE_UNITS * 10**currency.exponent:
        raise InvalidAmount("the amount is above 10^18 whole units")
    return int(minor)


def _written_digits(amount: Decimal) -> int:
    """How many digits the number has in plain notation: 1e2 has 3, 0.05 has 3, 10.000 has 5."""
    _, digits, exponent = amount.as_tuple()
    assert isinstance(exponent, int)
    if exponent < 0:
        return max(len(digits), 1 - exponent)
    return len(digits) + exponent if amount else 1


def parse_amount(text: str, currency: Currency) -> int:
    """Minor units of an amount typed by a person or sent to the admin API: plain notation, `10` or `3.50`.

    Raises:
        InvalidAmount: anything else (a sign, an exponent, spaces), or what `to_minor` refuses.
    """
    if len(text) > MAX_DIGITS + 1 or not _PLAIN.fullmatch(text):
        raise InvalidAmount(f"{text[:60]!r} is not an amount; write it like 10 or 3.50")
    return to_minor(Decimal(text), currency)


def format_minor(minor: int, currency: Currency) -> str:
    """Plain notation with all decimals of the currency: `-350` EUR is `-3.50`."""
    sign = "-" if minor < 0 else ""
    places = currency.exponent
    if not places:
        return f"{minor}"
    digits = str(abs(minor)).zfill(places + 1)
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def from_minor(minor: int, currency: Currency) -> Decimal:
    """The amount as a decimal with all decimals of the currency: 350 EUR is `Decimal("3.50")`."""
    return Decimal(format_minor(minor, currency))
