"""Claims about signatures of callbacks."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.testing.vectors import body_of, read_vectors
from stakewire.wire.sportsbook.signing import (
    Secret,
    SignatureError,
    SignatureMismatch,
    SignatureMissing,
    check_signature,
)

VECTORS = read_vectors(Path(__file__).parents[3] / "vectors/sportsbook/signing.json")
secrets_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
HASH = b"x-security-hash"


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Every published case gives its published verdict."""
    headers = [(name.lower().encode(), value.encode()) for name, value in case["headers"]]
    secrets = [Secret(text) for text in case["secrets"]]
    if case["expect"] in ("missing", "mismatch"):
        error = SignatureMissing if case["expect"] == "missing" else SignatureMismatch
        with pytest.raises(error):
            check_signature(body_of(case), headers, secrets)
    else:
        checked = check_signature(body_of(case), headers, secrets)
        assert checked.secret_index == case["expect"]["secret"]
        assert checked.header == case["expect"]["header"].lower().encode()


@given(secrets_text, st.binary(max_size=300))
def test_signs_as_hmac_does(secret: str, raw: bytes) -> None:
    """The copied pads give the very hash of the standard library's HMAC, for keys of every length."""
    assert Secret(secret).sign(raw) == hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def test_a_secret_signs_many_bodies() -> None:
    """Signing leaves no trace: the second signature of the same bytes equals the first."""
    secret = Secret("demo-hash")
    first = secret.sign(b"one")
    assert secret.sign(b"two") != first
    assert secret.sign(b"one") == first


@given(st.binary(max_size=80), st.binary(max_size=200))
def test_no_header_value_breaks_the_check(value: bytes, raw: bytes) -> None:
    """Whatever bytes a peer sends as signature, the check ends in its own verdict, never in another error."""
    with pytest.raises(SignatureMismatch):
        check_signature(raw, [(HASH, value)], [Secret("demo-hash")])


@given(
    st.lists(
        st.tuples(st.sampled_from([HASH, b"x-securty-hash", b"host"]), st.binary(max_size=70)), max_size=4
    )
)
def test_no_headers_break_the_check(headers: list[tuple[bytes, bytes]]) -> None:
    """Any number of headers ends in a signature error: none of these is right."""
    with pytest.raises(SignatureError):
        check_signature(b"{}", headers, [Secret("demo-hash")])


@given(st.binary(max_size=200), st.data())
def test_any_changed_byte_is_noticed(raw: bytes, data: st.DataObject) -> None:
    """A signature stands for its very bytes: one bit flipped, one byte more or less, and it fails."""
    secret = Secret("demo-hash")
    signature = secret.sign(raw).encode()
    at = data.draw(st.integers(0, len(raw)))
    changed = raw[:at] + data.draw(st.binary(max_size=3)) + raw[data.draw(st.integers(at, len(raw))) :]
    if changed == raw:
        assert check_signature(changed, [(HASH, signature)], [secret]).secret_index == 0
    else:
        with pytest.raises(SignatureMismatch):
            check_signature(changed, [(HASH, signature)], [secret])


def test_names_of_a_profile() -> None:
    """A partner's own header name replaces the two default ones; those mean nothing then."""
    secret = Secret("demo-hash")
    right = secret.sign(b"{}").encode()
    checked = check_signature(b"{}", [(b"x-hash", right), (HASH, b"noise")], [secret], [b"x-hash"])
    assert checked.header == b"x-hash"


def test_a_secret_does_not_show_itself() -> None:
    """Printing or logging a secret gives nothing away; neither do the errors."""
    secret = Secret("very-private-hash")
    assert "private" not in repr(secret) and "private" not in str(secret)
    with pytest.raises(SignatureMismatch) as caught:
        check_signature(b"{}", [(HASH, b"0" * 64)], [secret])
    assert "private" not in str(caught.value) and secret.sign(b"{}") not in str(caught.value)


def test_empty_secret_is_refused() -> None:
    """An empty security hash would let everybody sign."""
    with pytest.raises(ValueError, match="empty"):
        Secret("")


def test_comparison_is_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes meet only in `hmac.compare_digest`, and as bytes, where no character can make it raise."""
    seen: list[tuple[object, object]] = []
    real = hmac.compare_digest

    def spy(left: bytes, right: bytes) -> bool:
        seen.append((left, right))
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    secret = Secret("demo-hash")
    check_signature(b"{}", [(HASH, secret.sign(b"{}").encode())], [Secret("another"), secret])
    assert [tuple(map(type, pair)) for pair in seen] == [(bytes, bytes)] * 2
