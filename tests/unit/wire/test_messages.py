"""Claims about callbacks: how a body is read, and how one is written."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stakewire.money import Currency, InvalidAmount, to_minor
from stakewire.testing.vectors import body_of, read_vectors
from stakewire.wire.sportsbook import messages
from stakewire.wire.sportsbook.messages import (
    Action,
    Endpoint,
    Transaction,
    parse_callback,
    storable,
    valid_id,
    write_transaction,
)
from stakewire.wire.sportsbook.strict_json import MAX_BODY_BYTES, RequestInvalid

VECTORS = read_vectors(Path(__file__).parents[3] / "vectors/sportsbook/requests.json")
BODIES = [body_of(case) for case in VECTORS]
anything = st.characters(exclude_categories=())  # surrogates too
endpoints = st.sampled_from(Endpoint)


def read(endpoint: Endpoint, raw: bytes) -> Transaction | None:
    """What callers get; None where the body is invalid."""
    try:
        return parse_callback(endpoint, raw)
    except RequestInvalid:
        return None


def read_slowly(endpoint: Endpoint, raw: bytes) -> Transaction | None:
    """The path that takes every body, through a dictionary of its fields."""
    try:
        asked = messages._parse_any(endpoint, raw)
    except RequestInvalid:
        return None
    ids = [asked.transaction_id, asked.user_id, *([] if asked.target_id is None else [asked.target_id])]
    return asked if all(map(valid_id, ids)) else None


def same(left: Transaction | None, right: Transaction | None) -> bool:
    """Equal field by field, amounts by value; NaN stands for any number that cannot be held."""
    if left is None or right is None:
        return left is right
    amounts = left.amount == right.amount or (left.amount.is_nan() and right.amount.is_nan())
    return amounts and all(
        getattr(left, field) == getattr(right, field)
        for field in ("transaction_id", "action", "user_id", "currency", "target_id")
    )


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Every published case is read as it says, on both paths, down to its minor units."""
    endpoint = Endpoint(case["endpoint"])
    asked = read(endpoint, body_of(case))
    assert same(asked, read_slowly(endpoint, body_of(case)))
    if case["expect"] == "INVALID_REQUEST":
        assert asked is None
        return
    expect = case["expect"]
    expected = Transaction(
        transaction_id=expect["transaction_id"],
        action=Action(expect["action"]),
        user_id=expect["user_id"],
        currency=expect["currency"],
        amount=Decimal(expect["amount"]),
        target_id=expect.get("rollback_transaction_id"),
    )
    assert same(asked, expected)
    assert asked is not None
    for places, minor in case.get("minor_units", {}).items():
        currency = Currency("XXX", int(places))
        if minor == "invalid":
            with pytest.raises(InvalidAmount):
                to_minor(asked.amount, currency)
        else:
            assert to_minor(asked.amount, currency) == int(minor)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A published body with bytes cut, doubled or replaced."""
    raw = bytearray(draw(st.sampled_from(BODIES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        end = min(len(raw), at + draw(st.integers(0, 6)))
        raw[at:end] = draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from(
                    [b'"', b'""', b"null", b"7", b'"7"', b',"amount":1', b',"x":null', b"\\u0061", b"\\"]
                ),
                st.just(bytes(raw[at:end]) * 2),
            )
        )
    return bytes(raw)


@settings(max_examples=500)
@given(endpoints, mutated())
@example(Endpoint.ROLLBACK, BODIES[0])
def test_paths_agree_on_mutations(endpoint: Endpoint, raw: bytes) -> None:
    """The struct path and the dictionary path read any body alike, or both refuse it."""
    assert same(read(endpoint, raw), read_slowly(endpoint, raw))


@given(endpoints, st.binary(max_size=100))
def test_only_request_invalid_is_raised(endpoint: Endpoint, raw: bytes) -> None:
    """Arbitrary bytes never raise anything but RequestInvalid."""
    read(endpoint, raw)


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=128)
amounts = st.integers(0, 10**20).map(lambda minor: Decimal(minor).scaleb(-2))


@given(names, names, names, st.sampled_from(Action), amounts)
def test_what_is_written_is_read_back(
    tx_id: str, user: str, target: str, action: Action, amount: Decimal
) -> None:
    """Both ends agree: every callback we can write is read as what it was, and takes the fast path."""
    endpoint = Endpoint.ROLLBACK if action is Action.ROLLBACK else Endpoint.TRANSACTION
    tx = Transaction(tx_id, action, user, "EUR", amount, target if action is Action.ROLLBACK else None)
    raw = write_transaction(tx, 2)
    assert parse_callback(endpoint, raw) == tx
    if b'\\"' not in raw:
        assert messages._parse_ordinary(endpoint, raw) == tx


def test_written_form_is_the_contracts() -> None:
    """The contract's vector body, byte for byte; amounts have exactly the currency's decimals."""
    tx = Transaction("op-9001", Action.BET, "u-7", "EUR", Decimal("5.25"))
    assert write_transaction(tx, 2) == (
        b'{"transaction_id":"op-9001","action":"bet","user_id":"u-7","currency":"EUR","amount":5.25}'
    )
    back = Transaction("op-9002", Action.ROLLBACK, "Ωμέγα", "JPY", Decimal("5E+1"), "op-9001")
    assert write_transaction(back, 0).decode() == (
        '{"transaction_id":"op-9002","rollback_transaction_id":"op-9001","action":"rollback",'
        '"user_id":"Ωμέγα","currency":"JPY","amount":50}'
    )
    assert b'"amount":0.000' in write_transaction(Transaction("a", Action.RESULT, "u", "BHD", Decimal(0)), 3)


@pytest.mark.parametrize(
    ("tx", "error"),
    [
        (Transaction("a", Action.BET, "u", "EUR", Decimal("1.001")), InvalidAmount),
        (Transaction("a", Action.BET, "u", "EUR", Decimal(-1)), InvalidAmount),
        (Transaction("a", Action.BET, "u", "EUR", Decimal("NaN")), InvalidAmount),
        (Transaction("", Action.BET, "u", "EUR", Decimal(1)), ValueError),
        (Transaction("a", Action.BET, "u" * 129, "EUR", Decimal(1)), ValueError),
        (Transaction("a", Action.BET, "\ud800", "EUR", Decimal(1)), ValueError),
        (Transaction("a", Action.BET, "u", "EUR", Decimal(1), "b"), ValueError),
        (Transaction("a", Action.ROLLBACK, "u", "EUR", Decimal(1)), ValueError),
    ],
)
def test_we_do_not_write_what_a_peer_must_refuse(tx: Transaction, error: type[Exception]) -> None:
    """Our own fault is found before anything is sent."""
    with pytest.raises(error):
        write_transaction(tx, 2)


@given(st.text(anything, max_size=140))
def test_valid_ids(text: str) -> None:
    """1 to 128 characters, none of them a control character or a lone surrogate; nothing else matters."""
    allowed = 1 <= len(text) <= 128 and all(unicodedata.category(char) not in ("Cc", "Cs") for char in text)
    assert valid_id(text) is allowed


@given(st.text(anything, max_size=20))
def test_storable_text_can_be_stored(text: str) -> None:
    """A storable text has no NUL and encodes as UTF-8; a text without either is not changed."""
    stored = storable(text)
    assert "\0" not in stored
    assert stored.encode().decode() == stored
    if "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text):
        assert stored == text


def test_size_bound() -> None:
    """A body over 64 KiB is refused even where its fields are in order."""
    body = json.dumps(
        {"transaction_id": "a", "action": "bet", "user_id": "u", "currency": "EUR", "amount": 1}
    ).encode()
    assert parse_callback(Endpoint.TRANSACTION, body.ljust(MAX_BODY_BYTES)).transaction_id == "a"
    with pytest.raises(RequestInvalid, match="65536"):
        parse_callback(Endpoint.TRANSACTION, body.ljust(MAX_BODY_BYTES + 1))


def test_reasons_name_the_field() -> None:
    """The reason says which field is wrong, for the log and for the sender's engineer."""
    with pytest.raises(RequestInvalid, match="`amount` must be a JSON number"):
        parse_callback(Endpoint.TRANSACTION, BODIES[0].replace(b"5.25", b'"5.25"'))
    with pytest.raises(RequestInvalid, match="`user_id` is missing"):
        parse_callback(Endpoint.TRANSACTION, BODIES[0].replace(b"user_id", b"user id"))
    with pytest.raises(RequestInvalid, match="`user_id` must have 1 to 128 characters"):
        parse_callback(Endpoint.TRANSACTION, BODIES[0].replace(b"u-7", b""))
