"""Wrong input of every kind: a contract answer or an ordinary 4xx; no stack trace, no 5xx, no money moved."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.acceptance.wallet.conftest import NewPlayer
from tests.acceptance.wallet.service import (
    Reply,
    WalletClient,
    WalletProcess,
    bet,
    read_reply,
    request_bytes,
    signed,
)

from stakewire.wire.sportsbook.codes import Code

CODES = {code.value for code in Code}
FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
_names = st.sampled_from(
    [
        "transaction_id",
        "action",
        "user_id",
        "currency",
        "amount",
        "rollback_transaction_id",
        "user id",
        "urrency",
    ]
)
_fields = st.dictionaries(
    _names, _json | st.sampled_from(["bet", "result", "rollback", "EUR", "ghost"]), max_size=8
)


def check_contract(reply: Reply) -> None:
    """Status 200 and one of the contract's answers, nothing else in it."""
    assert reply.status == 200, reply
    assert reply.headers["content-type"] == "application/json"
    document = reply.json
    if document["error"] is None:
        assert set(document) == {"error", "transaction_id"} and document["transaction_id"]
    else:
        assert set(document) == {"error"} and document["error"] in CODES - {"INTERNAL_ERROR"}


@FUZZ
@given(raw=st.binary(max_size=400), rollback=st.booleans())
def test_signed_rubbish(client: WalletClient, raw: bytes, rollback: bool) -> None:
    """Any bytes under a right signature are INVALID_REQUEST."""
    path = f"/callbacks/acme/transaction{'-rollback' if rollback else ''}"
    reply = client.send("POST", path, raw, signed(raw))
    check_contract(reply)
    assert reply.error == "INVALID_REQUEST"


@FUZZ
@given(fields=_fields, rollback=st.booleans())
def test_signed_json(client: WalletClient, fields: dict[str, Any], rollback: bool) -> None:
    """Any JSON object under a right signature gets an answer of the contract."""
    raw = json.dumps(fields).encode()
    path = f"/callbacks/acme/transaction{'-rollback' if rollback else ''}"
    check_contract(client.send("POST", path, raw, signed(raw)))


@FUZZ
@given(seed=st.integers(0, 2**32))
def test_mutated_callbacks(client: WalletClient, seed: int) -> None:
    """A right callback with bytes changed, cut or doubled, and signed again."""
    rng = random.Random(seed)
    raw = bytearray(bet(f"mutant-{seed}", "ghost", "1.00"))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(3):
            case 0:
                raw[at:at] = rng.randbytes(rng.randint(1, 4))
            case 1:
                del raw[at : at + rng.randint(1, 5)]
            case _:
                raw[at:at] = rng.choice(
                    [b'"', b"{", b"}", b"\\", b"\\u0000", b",", b"1e999", b"\xed\xa0\x80"]
                )
    check_contract(client.send("POST", "/callbacks/acme/transaction", bytes(raw), signed(bytes(raw))))


@FUZZ
@given(
    value=st.binary(max_size=200).filter(lambda value: not set(value) & {0, 10, 13}),
    name=st.sampled_from(["X-Security-Hash", "X-Securty-Hash", "x-SECURITY-hash"]),
)
def test_signature_headers(wallet: WalletProcess, value: bytes, name: str) -> None:
    """Any bytes as a signature are INVALID_SIGNATURE, or refused as HTTP."""
    raw = bet("unsigned", "ghost", "1")
    head = f"POST /callbacks/acme/transaction HTTP/1.1\r\nHost: w\r\nContent-Length: {len(raw)}\r\n{name}: "
    reply = exchange(wallet, head.encode() + value + b"\r\n\r\n" + raw)
    assert reply.status in (200, 400)
    assert reply.error in ("INVALID_SIGNATURE", "BAD_REQUEST")


@FUZZ
@given(path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=80))
def test_paths(client: WalletClient, path: str) -> None:
    """Whatever path: a 4xx that says nothing of what is inside."""
    for prefix in ("/", "/callbacks/", "/callbacks/acme/", "/callbacks/acme/transaction", "/admin/v1/"):
        target = (prefix + path).split("#")[0]
        if target.partition("?")[0] in (
            "/callbacks/acme/transaction",
            "/callbacks/acme/transaction-rollback",
        ):
            continue
        reply = client.send("POST", target, b"{}", {"Content-Type": "application/json"})
        assert 400 <= reply.status < 500, (target, reply)
        assert b"Traceback" not in reply.body


WRONG_BODIES: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xef\xbb\xbf" + bet("w", "ghost", "1"),
    bet("w", "ghost", "1").decode().encode("utf-16"),
    bet("w", "ghost", "1") + b"x",
    bet("w", "ghost", "1") + bet("w", "ghost", "1"),
    bet("w", "ghost", "1").replace(b"{", b'{"amount": 2, ', 1),
    bet("w", "ghost", "1").replace(b"user_id", b"user id"),
    bet("w", "ghost", "1").replace(b"currency", b"urrency"),
    bet("w", "ghost", "1").replace(b'"bet"', b'"BET"'),
    bet("w", "ghost", "1").replace(b'"bet"', b'"rollback"'),
    bet("", "ghost", "1"),
    bet("w", "", "1"),
    bet("w" * 129, "ghost", "1"),
    bet("a\x00b", "ghost", "1"),
    bet("a\u0085b", "ghost", "1"),
    bet("w", "ghost", "1").replace(b'"w"', b'"\\ud800"'),
    bet("w", "ghost", "1").replace(b'"w"', b"7"),
    bet("w", "ghost", "01"),
    bet("w", "ghost", "1.").replace(b"1.}", b"1.}"),
    bet("w", "ghost", ".5"),
    bet("w", "ghost", "+1"),
    bet("w", "ghost", "0x10"),
    bet("w", "ghost", "1").replace(b"}", b', "deep": ' + b"[" * 9 + b"]" * 9 + b"}"),
    b'{"a":' * 5000,
]


@pytest.mark.parametrize("raw", WRONG_BODIES, ids=range(len(WRONG_BODIES)))
def test_wrong_bodies(client: WalletClient, raw: bytes) -> None:
    """Each is INVALID_REQUEST."""
    reply = client.send("POST", "/callbacks/acme/transaction", raw, signed(raw))
    assert (reply.status, reply.error) == (200, "INVALID_REQUEST")


def test_a_wrong_signature_is_answered_before_anything_is_read(
    client: WalletClient, new_player: NewPlayer
) -> None:
    """A perfect bet and rubbish get the same answer when unsigned; the bet is not known afterwards."""
    user = new_player("10.00")
    answers = [
        client.send("POST", "/callbacks/acme/transaction", raw, {"X-Security-Hash": "0" * 64}).body
        for raw in (bet("never-read", user, "1"), b"\xff\x00{", b"")
    ]
    assert set(answers) == {b'{"error":"INVALID_SIGNATURE"}'}
    assert client.admin("GET", "/transactions/never-read").status == 404
    assert client.balance(user) == "10.00"


def http_attacks() -> Iterator[bytes]:
    """Requests that are no good HTTP."""
    raw = bet("smuggled", "ghost", "1")
    good = request_bytes("acme", raw)
    length = f"Content-Length: {len(raw)}\r\n".encode()
    yield good.replace(length, length + length)
    yield good.replace(length, length + b"Content-Length: 5\r\n")
    yield good.replace(length, length + b"Transfer-Encoding: chunked\r\n")
    yield good.replace(length, b"Content-Length: -1\r\n")
    yield good.replace(length, b"Content-Length: 99999999999999999999\r\n")
    yield good.replace(length, b"Transfer-Encoding: gzip, chunked\r\n")
    yield good.replace(b"Host: wallet\r\n", b"")
    yield good.replace(b"HTTP/1.1", b"HTTP/9.9")
    yield good.replace(b"POST", b"P\x00ST")
    yield good.replace(b"Host: wallet", b"Host: wallet\r\n folded: yes")
    yield good.replace(b"Host: wallet", b"X: " + b"y" * 20_000)
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)
    yield b"\r\n\r\n\r\n\x00\x00"


@pytest.mark.parametrize("wire", list(http_attacks()))
def test_broken_http(wallet: WalletProcess, wire: bytes) -> None:
    """A 4xx or 505, and the connection ends."""
    reply = exchange(wallet, wire)
    assert reply.status in (400, 413, 417, 431, 501, 505), reply
    assert b"Traceback" not in reply.body


def test_nothing_in_here_reached_the_log_as_a_fault(wallet: WalletProcess, client: WalletClient) -> None:
    """Runs last in this file: no exception was logged, and the ledger verifies."""
    assert "Traceback" not in wallet.log
    assert client.admin("GET", "/verify").json["problems"] == []


def exchange(wallet: WalletProcess, wire: bytes) -> Reply:
    """Write bytes on a new connection and read one answer."""
    with socket.create_connection(("127.0.0.1", wallet.port), timeout=20) as sock:
        sock.sendall(wire)
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as stream:
            return read_reply(stream)
