"""JSON objects read strictly: one reading or none (contract section 3, the JSON rules).

Refused: not UTF-8, a byte order mark, a name given twice, depth over the bound, anything after the object but
white space, and whatever RFC 8259 does not allow. Numbers keep every digit.

An ordinary flat object takes a fast path through msgspec, which alone is not strict enough; everything else
takes an exact scan of our own. Both give the same verdict and the same values, which tests hold them to.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final, NoReturn

import msgspec

from stakewire.errors import InvalidInput

MAX_BODY_BYTES: Final = 65_536
MAX_DEPTH: Final = 8

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_CHUNK: Final = re.compile(r'[^"\\\x00-\x1f]*')
_HEX4: Final = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: Final[tuple[tuple[str, object], ...]] = (("true", True), ("false", False), ("null", None))


class RequestInvalid(InvalidInput):
    """The peer's bytes are not what the contract allows; answered with INVALID_REQUEST.

    Attributes:
        reason: what is wrong, for the log and for the sender's engineer.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_object(
    raw: bytes, *, max_bytes: int = MAX_BODY_BYTES, max_depth: int = MAX_DEPTH
) -> dict[str, object]:
    """The JSON object in `raw`: str, Decimal, bool, None, list and dict; the outer object is depth 1.

    A number whose exponent no Decimal can hold becomes `Decimal("NaN")`: it is no amount, but in a field that
    nobody reads it is no error either. Strings may hold lone surrogates; who stores one checks it.

    Raises:
        RequestInvalid: `raw` is not one strict JSON object within the bounds.
    """
    if len(raw) > max_bytes:
        raise RequestInvalid(f"the body is over {max_bytes} bytes")
    flat = _parse_flat(raw)
    return flat if flat is not None else _parse_exactly(raw, max_depth)


def _number(text: str) -> Decimal:
    """Every JSON number, whatever the thread's decimal context traps."""
    try:
        number = Decimal(text)
        if number.is_finite():
            return number
    except InvalidOperation:
        pass
    # The exponent is beyond 10**18. Zero is still zero; any other number cannot be held.
    mantissa = re.split("[eE]", text)[0]
    return Decimal("NaN") if re.search("[1-9]", mantissa) else Decimal("0")


_FAST: Final = msgspec.json.Decoder(float_hook=_number)


def _parse_flat(raw: bytes) -> dict[str, object] | None:
    """The fast path: an object of plain values, no name repeated; None if the exact scan must decide.

    Every name and every string value has two quotes. If the bytes have just as many as the members that came
    out need, no name was given twice (its second copy has quotes too) and no quote was escaped.
    """
    try:
        found = _FAST.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if type(found) is not dict:
        return None
    strings = len(found)
    for name, value in found.items():
        kind = type(value)
        if kind is str:
            strings += 1
        elif kind is int:
            found[name] = Decimal(value)
        elif kind is dict or kind is list:
            return None
    return found if raw.count(b'"') == 2 * strings else None


def _parse_exactly(raw: bytes, max_depth: int) -> dict[str, object]:
    """The slow path: any bytes, one verdict."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestInvalid(f"the body is not UTF-8 (byte {error.start})") from None
    if text.startswith("\ufeff"):
        raise RequestInvalid("the body starts with a byte order mark")
    scan = _Scan(text, max_depth)
    found = scan.whole()
    if not isinstance(found, dict):
        raise RequestInvalid("the body is not a JSON object")
    return found


class _Scan:
    """A recursive descent over the text; recursion ends at `max_depth`."""

    def __init__(self, text: str, max_depth: int) -> None:
        self._text = text
        self._at = 0
        self._max_depth = max_depth

    def whole(self) -> object:
        self._skip_space()
        value = self._value(0)
        self._skip_space()
        if self._at < len(self._text):
            self._fail("something follows the object")
        return value

    def _value(self, depth: int) -> object:
        here = self._text[self._at : self._at + 1]
        if here == '"':
            return self._string()
        if here == "{" or here == "[":
            if depth == self._max_depth:
                self._fail(f"nested deeper than {self._max_depth}")
            self._at += 1
            return self._object(depth + 1) if here == "{" else self._array(depth + 1)
        for word, meaning in _WORDS:
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return meaning
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            self._fail("no JSON value")
        self._at = number.end()
        return _number(number.group())

    def _object(self, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        if self._ends("}"):
            return found
        while True:
            if self._text[self._at : self._at + 1] != '"':
                self._fail("a name in double quotes is expected")
            name = self._string()
            if name in found:
                self._fail(f"the name {name[:40]!r} is given twice")
            self._skip_space()
            self._expect(":")
            found[name] = self._value(depth)
            if self._ends("}"):
                return found
            self._expect(",")

    def _array(self, depth: int) -> list[object]:
        found: list[object] = []
        if self._ends("]"):
            return found
        while True:
            found.append(self._value(depth))
            if self._ends("]"):
                return found
            self._expect(",")

    def _string(self) -> str:
        parts: list[str] = []
        self._at += 1
        while True:
            chunk = _CHUNK.match(self._text, self._at)
            assert chunk is not None  # it matches the empty text too
            parts.append(chunk.group())
            self._at = chunk.end() + 1
            stop = self._text[chunk.end() : self._at]
            if stop == '"':
                return "".join(parts)
            if stop != "\\":
                self._fail("a string is not closed, or holds a raw control character")
            parts.append(self._escape())

    def _escape(self) -> str:
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        if letter != "u":
            if letter not in _ESCAPES:
                self._fail("no JSON escape")
            return _ESCAPES[letter]
        unit = self._hex4()
        # A high surrogate directly followed by an escaped low one is a single character.
        if 0xD800 <= unit <= 0xDBFF and self._text.startswith("\\u", self._at):
            before = self._at
            self._at += 2
            low = self._hex4()
            if 0xDC00 <= low <= 0xDFFF:
                return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            self._at = before
        return chr(unit)

    def _hex4(self) -> int:
        digits = _HEX4.match(self._text, self._at)
        if digits is None:
            self._fail("\\u needs four hex digits")
        self._at = digits.end()
        return int(digits.group(), 16)

    def _ends(self, bracket: str) -> bool:
        self._skip_space()
        if self._text.startswith(bracket, self._at):
            self._at += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            self._fail(f"{mark!r} is expected")
        self._at += 1
        self._skip_space()

    def _skip_space(self) -> None:
        space = _SPACE.match(self._text, self._at)
        assert space is not None  # it matches the empty text too
        self._at = space.end()

    def _fail(self, what: str) -> NoReturn:
        raise RequestInvalid(f"{what} (character {self._at})")
