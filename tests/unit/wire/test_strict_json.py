"""Claims about strict JSON: one verdict for any bytes, on the fast path and on the slow one."""

from __future__ import annotations

import json
from decimal import Context, Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stakewire.testing.vectors import body_of, read_vectors
from stakewire.wire.sportsbook import strict_json
from stakewire.wire.sportsbook.strict_json import MAX_BODY_BYTES, RequestInvalid, parse_object

VECTORS = read_vectors(Path(__file__).parents[3] / "vectors/sportsbook/strict_json.json")
INVALID = object()


def slow(raw: bytes) -> object:
    """The exact scan alone."""
    try:
        return strict_json._parse_exactly(raw, strict_json.MAX_DEPTH)
    except RequestInvalid:
        return INVALID


def both(raw: bytes) -> object:
    """What callers get: the fast path where it dares, the exact scan elsewhere."""
    try:
        return parse_object(raw)
    except RequestInvalid:
        return INVALID


def stdlib(raw: bytes) -> object:
    """An oracle of other people's making: the json module, made strict by its hooks and a walk."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name twice")
        return found

    def never(text: str) -> object:
        raise ValueError(text)

    def number(text: str) -> Decimal:
        try:
            return Decimal(text)
        except InvalidOperation:
            return Decimal(0) if not text.lower().split("e")[0].strip("-0.") else Decimal("NaN")

    def depth(value: object) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    try:
        found = json.loads(
            raw.decode(), object_pairs_hook=once, parse_constant=never, parse_float=number, parse_int=number
        )
    except (ValueError, RecursionError):
        return INVALID
    return found if isinstance(found, dict) and depth(found) <= strict_json.MAX_DEPTH else INVALID


def same(left: object, right: object) -> bool:
    """Equal by value and by type; NaN, which stands for a number that cannot be held, equals itself."""
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return left == right or (left.is_nan() and right.is_nan())
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


def as_values(document: Any) -> Any:
    """The vector's own notation of numbers, as Decimals."""
    if isinstance(document, dict):
        if document.keys() == {"number"}:
            return Decimal(document["number"])
        return {name: as_values(value) for name, value in document.items()}
    return [as_values(value) for value in document] if isinstance(document, list) else document


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Every published case gives its verdict and its value on every path, and the oracle agrees."""
    raw = body_of(case)
    for parse in (both, slow, stdlib):
        found = parse(raw)
        assert (found is not INVALID) is case["ok"], parse.__name__
        if "value" in case:
            assert same(found, as_values(case["value"])), parse.__name__


texts = st.text(st.characters(exclude_categories=()), max_size=8)  # surrogates too
clean_texts = st.text(max_size=8)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,22})?", fullmatch=True)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """JSON text as somebody may write it: spaces, escapes, repeated names, any depth."""

    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=draw(st.booleans()))

    def value(depth: int) -> str:
        kind = draw(
            st.sampled_from(["text", "number", "word", "object", "list"] if depth else ["text", "number"])
        )
        space = draw(st.sampled_from(["", "", "", " ", "\n\t\r "]))
        if kind == "text":
            return space + quoted(draw(texts)) + space
        if kind == "number":
            return space + draw(numbers) + space
        if kind == "word":
            return draw(st.sampled_from(["true", "false", "null"]))
        inner = [value(depth - 1) for _ in range(draw(st.integers(0, 3)))]
        if kind == "list":
            return "[" + ",".join(inner) + "]"
        return "{" + ",".join(f"{space}{quoted(draw(texts))}:{member}" for member in inner) + "}"

    members = [
        f"{quoted(draw(texts))}:{value(draw(st.sampled_from([0, 1, 3])))}"
        for _ in range(draw(st.integers(0, 5)))
    ]
    return ("{" + ",".join(members) + "}").encode("utf-8", "surrogatepass")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A document, real or from the vectors, with a few bytes cut, doubled or replaced."""
    raw = bytearray(draw(st.one_of(documents(), st.sampled_from([body_of(case) for case in VECTORS]))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        end = min(len(raw), at + draw(st.integers(0, 4)))
        piece = draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from(
                    [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\\u", b"e", b"-", b"0", b'""']
                ),
                st.just(bytes(raw[at:end]) * 2),
            )
        )
        raw[at:end] = piece
    return bytes(raw)


def agree(raw: bytes) -> None:
    """Fast, slow and oracle give one verdict and one value."""
    expected = stdlib(raw)
    assert same(slow(raw), expected)
    assert same(both(raw), expected)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\ud800", "\ud800"),
        (r"\udc00\udc01", "\udc00\udc01"),
        (r"\udfb2\ud83c", "\udfb2\ud83c"),
        (r"\ud83c\u0041", "\ud83cA"),
        (r"\ud83c\ud83c\udfb2", "\ud83c\U0001f3b2"),
        (r"\u0041\udfb2", "A\udfb2"),
        (r"\u0000", "\0"),
    ],
)
def test_surrogates_pair_only_in_order(escaped: str, text: str) -> None:
    """A high surrogate and the low one right behind it are one character; any other stays alone, unharmed."""
    raw = f'{{"a":"{escaped}"}}'.encode()
    assert slow(raw) == both(raw) == stdlib(raw) == {"a": text}


@settings(max_examples=300)
@given(documents())
@example(b'{"a":"\\"","b":1,"b":2}')
@example(b'{"a":1,"a":"}"}')
def test_paths_agree_on_documents(raw: bytes) -> None:
    """On anything that looks like JSON, both paths and the oracle say the same."""
    agree(raw)


@settings(max_examples=500)
@given(mutated())
def test_paths_agree_on_mutations(raw: bytes) -> None:
    """On JSON with a few bytes gone wrong, both paths and the oracle say the same."""
    agree(raw)


@given(st.binary(max_size=60))
def test_paths_agree_on_noise(raw: bytes) -> None:
    """On arbitrary bytes, both paths and the oracle say the same, and only RequestInvalid is raised."""
    agree(raw)


@given(
    st.dictionaries(clean_texts, st.one_of(clean_texts, st.booleans(), st.none(), st.integers()), max_size=8)
)
def test_the_fast_path_takes_ordinary_objects(document: dict[str, object]) -> None:
    """A flat object without escaped quotes never needs the slow scan."""
    raw = json.dumps(document, ensure_ascii=False).encode()
    if b"\\" not in raw:
        assert strict_json._parse_flat(raw) is not None


def test_a_repeated_name_is_found_behind_any_value() -> None:
    """msgspec alone keeps the last of two values: the count of quotes must refuse each kind of pair."""
    kinds = ["1", '"x"', "true", "null", "1.5", '""', '"\\""', "[]", "{}"]
    for first in kinds:
        for second in kinds:
            assert both(f'{{"a":{first},"b":"y","a":{second}}}'.encode()) is INVALID


@pytest.mark.parametrize("pad", [b" ", b"\n"])
def test_size_bound(pad: bytes) -> None:
    """65,536 bytes are read, 65,537 are not, whatever they hold."""
    assert parse_object(b"{}".ljust(MAX_BODY_BYTES, pad)) == {}
    with pytest.raises(RequestInvalid, match="65536"):
        parse_object(b"{}".ljust(MAX_BODY_BYTES + 1, pad))


def test_bounds_are_the_callers() -> None:
    """The bounds of size and depth may be set by the caller."""
    with pytest.raises(RequestInvalid, match="over 10 bytes"):
        parse_object(b'{"a":"bcdef"}', max_bytes=10)
    with pytest.raises(RequestInvalid, match="deeper than 2"):
        parse_object(b'{"a":[[]]}', max_depth=2)
    assert parse_object(b'{"a":[]}', max_depth=2) == {"a": []}


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"a":"' + b"\\u0041" * 10_000 + b'"}',
        b'{"a":[' + b"1," * 30_000 + b"1]}",
        b'{"a":' + b"9" * 60_000 + b"}",
        b'{"a":1e' + b"9" * 60_000 + b"}",
        b'{"a":0.' + b"0" * 60_000 + b"1}",
        b"{" + b",".join(b'"%d":%d' % (n, n) for n in range(5_000)) + b"}",
        b'"' * 60_000,
        b"\\" * 60_000,
    ],
    ids=lambda raw: raw[:12].decode(),
)
def test_the_worst_bodies_within_the_bound(raw: bytes) -> None:
    """Bodies made to hurt end in the same verdict as any other: no recursion, no number without end."""
    agree(raw)


def test_numbers_do_not_depend_on_the_decimal_context() -> None:
    """A program that set its own decimal precision or traps reads the same numbers."""
    raw = b'{"a":9007199254740993.0123456789,"b":1e99999999999999999999,"c":0e99999999999999999999}'
    expected = parse_object(raw)
    for context in (Context(prec=3, traps=[]), Context(prec=3, Emax=5, Emin=-5)):
        with localcontext(context):
            found = parse_object(raw)
            found_slowly = strict_json._parse_exactly(raw, 8)
        assert same(found, expected)
        assert same(found_slowly, expected)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"a":1,"a":2}', "'a' is given twice"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a":"\xff"}', r"not UTF-8 \(byte 6\)"),
        (b"[]", "not a JSON object"),
        (b"{} {}", "something follows"),
        (b'{"a":}', r"no JSON value \(character 5\)"),
    ],
)
def test_reasons_help_the_senders_engineer(raw: bytes, reason: str) -> None:
    """The reason says what is wrong and where."""
    with pytest.raises(RequestInvalid, match=reason):
        parse_object(raw)
