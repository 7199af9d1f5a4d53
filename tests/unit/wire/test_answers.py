"""Claims about answers: written by the wallet, read by the sportsbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.testing.vectors import body_of, read_vectors
from stakewire.wire.sportsbook.answers import Accepted, Declined, Unclear, failure, read_answer, success
from stakewire.wire.sportsbook.codes import DEFINITE_DECLINES, Code
from stakewire.wire.sportsbook.strict_json import MAX_BODY_BYTES

VECTORS = read_vectors(Path(__file__).parents[3] / "vectors/sportsbook/answers.json")


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Every published answer is understood as it says."""
    expect = case["expect"]
    found = read_answer(case["status"], body_of(case))
    if expect == "unclear":
        assert isinstance(found, Unclear)
        assert found.reason
    elif "accepted" in expect:
        assert found == Accepted(expect["accepted"])
    else:
        assert found == Declined(expect["declined"], expect["definite"])


@given(st.text(min_size=1))
def test_a_written_success_is_read_as_one(own_id: str) -> None:
    """Whatever id the wallet gives, the sportsbook gets it back (NUL apart, which it cannot store)."""
    assert read_answer(200, success(own_id)) == Accepted(own_id.replace("\0", "\ufffd"))


@pytest.mark.parametrize("code", Code)
def test_a_written_failure_is_read_as_one(code: Code) -> None:
    """Each code crosses the wire; only the four final ones are definite."""
    assert read_answer(200, failure(code)) == Declined(code.value, code in DEFINITE_DECLINES)


def test_the_written_bytes() -> None:
    """The bytes of the contract, with its spelling."""
    assert success("17") == b'{"error":null,"transaction_id":"17"}'
    assert failure(Code.INSUFFICIENT_FUNDS) == b'{"error":"INSUFFICENT_FUNDS"}'


@given(st.integers(100, 599), st.binary(max_size=80))
def test_no_answer_breaks_the_reader(status: int, body: bytes) -> None:
    """Whatever a peer answers, the reader says what is known and raises nothing."""
    assert isinstance(read_answer(status, body), Accepted | Declined | Unclear)


def test_an_answer_without_end_is_unclear() -> None:
    """An answer over the bound is not read, whatever it holds."""
    assert isinstance(read_answer(200, success("1").ljust(MAX_BODY_BYTES + 1)), Unclear)
