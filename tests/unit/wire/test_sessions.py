"""Claims about CLIENT's calls: auth and start-session."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.wire.sportsbook.sessions import (
    ApiError,
    AuthAnswer,
    AuthRequest,
    StartSessionAnswer,
    StartSessionRequest,
    decode,
    encode,
)
from stakewire.wire.sportsbook.strict_json import RequestInvalid

Any = AuthRequest | AuthAnswer | StartSessionRequest | StartSessionAnswer | ApiError


@pytest.mark.parametrize(
    ("message", "raw"),
    [
        (AuthRequest("casino", "pässwörd"), '{"username":"casino","password":"pässwörd"}'),
        (AuthAnswer("t0", 3600), '{"token":"t0","expires_in":3600}'),
        (StartSessionRequest("u-7", "EUR"), '{"user_id":"u-7","currency":"EUR"}'),
        (StartSessionRequest("u-7", "EUR", "ar"), '{"user_id":"u-7","currency":"EUR","lang":"ar"}'),
        (StartSessionAnswer("https://x/launch/1"), '{"url":"https://x/launch/1"}'),
        (ApiError("INVALID_TOKEN", "log in"), '{"error":"INVALID_TOKEN","message":"log in"}'),
    ],
)
def test_both_ends_agree(message: Any, raw: str) -> None:
    """Each message is written in the contract's names, and read back as what it was."""
    assert encode(message).decode() == raw
    assert decode(raw.encode(), type(message)) == message


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (AuthRequest, b'{"username":"casino"}'),
        (AuthRequest, b'{"username":"casino","password":null}'),
        (AuthRequest, b'{"username":"casino","password":1}'),
        (AuthRequest, b'{"username":"casino","password":"a","password":"b"}'),
        (AuthRequest, b'{"username":"casino\\u0000","password":"a"}'),
        (AuthRequest, b'{"username":"casino","password":"\\ud800"}'),
        (AuthRequest, b"[]"),
        (AuthAnswer, b'{"token":"t","expires_in":"3600"}'),
        (AuthAnswer, b'{"token":"t","expires_in":0}'),
        (AuthAnswer, b'{"token":"t","expires_in":-1}'),
        (AuthAnswer, b'{"token":"t","expires_in":0.5}'),
        (AuthAnswer, b'{"token":"t","expires_in":1e400}'),
        (AuthAnswer, b'{"token":"t","expires_in":true}'),
        (StartSessionRequest, b'{"user_id":7,"currency":"EUR"}'),
        (StartSessionRequest, b'{"user_id":"","currency":"EUR"}'),
        (StartSessionRequest, b'{"user_id":"u\\u0000","currency":"EUR"}'),
        (StartSessionRequest, b'{"user_id":"u-7"}'),
        (StartSessionRequest, b'{"user_id":"u-7","currency":""}'),
        (StartSessionRequest, b'{"user_id":"u-7","currency":"EUR","lang":1}'),
        (StartSessionAnswer, b'{"url":null}'),
    ],
)
def test_wrong_messages_are_refused(kind: type[Any], raw: bytes) -> None:
    """A field missing, doubled or of another type is refused with a reason."""
    with pytest.raises(RequestInvalid):
        decode(raw, kind)


def test_what_may_differ() -> None:
    """Unknown fields are ignored, `lang` may be null, and a whole number of seconds may be written 3.6e3."""
    raw = b'{"user_id":"u-7","currency":"EUR","lang":null,"theme":{"dark":true},"n":1e99999999999999999999}'
    assert decode(raw, StartSessionRequest) == StartSessionRequest("u-7", "EUR")
    assert decode(raw.replace(b"null", b'"\\ud800"'), StartSessionRequest).lang == "\ufffd"
    assert decode(b'{"token":"t","expires_in":3.6e3}', AuthAnswer).expires_in == 3600


@given(st.binary(max_size=60), st.sampled_from([AuthRequest, AuthAnswer, StartSessionRequest]))
def test_only_request_invalid_is_raised(raw: bytes, kind: type[AuthRequest]) -> None:
    """Arbitrary bytes end in RequestInvalid."""
    with pytest.raises(RequestInvalid):
        decode(raw, kind)


def test_secrets_do_not_show() -> None:
    """Printing or logging a message shows neither password nor token."""
    assert "private" not in repr(AuthRequest("casino", "private"))
    assert "private" not in repr(AuthAnswer("private", 1))
