"""The contract page's rules, row by row, over real HTTP."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from tests.acceptance.wallet.conftest import NewPlayer
from tests.acceptance.wallet.service import (
    SECRET,
    MountedClient,
    WalletClient,
    WalletProcess,
    bet,
    endpoint_of,
    result,
    rollback,
    signed,
)

_numbers = itertools.count(1)


@pytest.fixture(params=["hot", "mounted"])
def client(request: pytest.FixtureRequest, wallet: WalletProcess) -> Iterator[WalletClient]:
    """Callbacks by the hot routes, and by the ASGI app mounted in another process on the same database."""
    if request.param == "hot":
        connection = wallet.client()
    else:
        mounted = request.getfixturevalue("mounted")
        connection = MountedClient(wallet.port, mounted.port, mounted.prefix)
    with connection:
        yield connection


def tx(word: str = "op") -> str:
    """A fresh id."""
    return f"{word}-{next(_numbers)}"


def test_a_bet_takes_money_and_a_result_gives_it(client: WalletClient, new_player: NewPlayer) -> None:
    """Success carries the wallet's own id, another one for each transaction."""
    user = new_player("100.00")
    placed = client.callback("acme", bet(tx(), user, "5.25"))
    paid = client.callback("acme", result(tx(), user, "10"))
    assert (placed.status, paid.status) == (200, 200)
    assert placed.headers["content-type"] == "application/json"
    assert (placed.error, paid.error) == (None, None)
    assert placed.json["transaction_id"] and placed.json["transaction_id"] != paid.json["transaction_id"]
    assert client.balance(user) == "104.75"


def test_the_same_id_again_gets_the_same_answer(client: WalletClient, new_player: NewPlayer) -> None:
    """Spacing, number form and unknown fields are no difference; the money moves once."""
    user, name = new_player("100.00"), tx()
    first = client.callback("acme", bet(name, user, "10.0"))
    fields = {"amount": 10, "currency": "EUR", "user_id": user, "action": "bet", "transaction_id": name}
    again = client.callback("acme", json.dumps({**fields, "round": "r1"}, indent=2).encode())
    assert again.body == first.body
    assert client.balance(user) == "90.00"


def test_an_altered_copy_gets_the_first_answer_and_is_shown(
    client: WalletClient, new_player: NewPlayer
) -> None:
    """Another amount under a known id moves nothing; `transaction show` has the copy."""
    user, name = new_player("100.00"), tx()
    first = client.callback("acme", bet(name, user, "10"))
    assert client.callback("acme", bet(name, user, "11")).body == first.body
    assert client.balance(user) == "90.00"
    shown = client.admin("GET", f"/transactions/{name}").json["transactions"][0]
    assert [copy["amount"] for copy in shown["copies"]] == ["11"]


def test_the_same_id_with_another_action_is_a_mismatch(client: WalletClient, new_player: NewPlayer) -> None:
    """Success would hide a payout that never happened."""
    user, name = new_player("100.00"), tx()
    client.callback("acme", bet(name, user, "10"))
    assert client.callback("acme", result(name, user, "10")).error == "TRANSACTION_MISMATCH"
    assert client.callback("acme", rollback(name, tx(), user, "10")).error == "TRANSACTION_MISMATCH"
    assert client.balance(user) == "90.00"


def test_a_declined_bet_stays_declined(client: WalletClient, new_player: NewPlayer) -> None:
    """The wire's spelling; and the same decline for ever, even after a top-up."""
    user, name = new_player("1.00"), tx()
    assert client.callback("acme", bet(name, user, "1.01")).error == "INSUFFICENT_FUNDS"
    client.admin("POST", f"/players/{user}/deposits", {"amount": "50", "currency": "EUR"}, key=tx("key"))
    assert client.callback("acme", bet(name, user, "1.01")).error == "INSUFFICENT_FUNDS"
    assert client.balance(user) == "51.00"


def test_a_bet_after_its_rollback_never_debits(client: WalletClient, new_player: NewPlayer) -> None:
    """The tombstone is the id's, whoever the bet names; a result under one succeeds and moves nothing."""
    user, other, name, late = new_player("100.00"), new_player("100.00"), tx(), tx()
    assert client.callback("acme", rollback(tx(), name, user, "10")).error is None
    assert client.callback("acme", bet(name, other, "10")).error == "TRANSACTION_ROLLED_BACK"
    assert client.callback("acme", bet(name, user, "10")).error == "TRANSACTION_ROLLED_BACK"
    assert client.callback("acme", rollback(tx(), late, user, "10")).error is None
    paid = client.callback("acme", result(late, user, "10"))
    assert paid.error is None and paid.json["transaction_id"]
    assert (client.balance(user), client.balance(other)) == ("100.00", "100.00")


def test_a_rollback_credits_the_stored_amount_once(client: WalletClient, new_player: NewPlayer) -> None:
    """Its own copy gets the same answer, a second rollback succeeds with an id of its own; one reversal."""
    user, name, undo = new_player("100.00"), tx(), tx()
    client.callback("acme", bet(name, user, "10"))
    first = client.callback("acme", rollback(undo, name, user, "99"))
    assert client.callback("acme", rollback(undo, name, user, "99")).body == first.body
    second = client.callback("acme", rollback(tx(), name, user, "10"))
    assert second.error is None and second.json["transaction_id"] != first.json["transaction_id"]
    assert client.balance(user) == "100.00"


def test_a_result_can_be_rolled_back_below_zero(client: WalletClient, new_player: NewPlayer) -> None:
    """The debt is visible, and counts against the next bet."""
    user, name = new_player("0.00"), tx()
    client.callback("acme", result(name, user, "10"))
    assert client.callback("acme", bet(tx(), user, "8")).error is None
    assert client.callback("acme", rollback(tx(), name, user, "10")).error is None
    assert client.balance(user) == "-8.00"
    assert client.callback("acme", bet(tx(), user, "0.01")).error == "INSUFFICENT_FUNDS"
    assert client.callback("acme", bet(tx(), user, "0")).error is None


def test_what_may_not_be_rolled_back(client: WalletClient, new_player: NewPlayer) -> None:
    """A rollback, itself, another player's transaction."""
    user, other, name, undo, selfish = new_player(), new_player(), tx(), tx(), tx()
    client.callback("acme", bet(name, user, "10"))
    assert client.callback("acme", rollback(tx(), name, other, "10")).error == "TRANSACTION_MISMATCH"
    client.callback("acme", rollback(undo, name, user, "10"))
    assert client.callback("acme", rollback(tx(), undo, user, "10")).error == "ROLLBACK_NOT_ALLOWED"
    assert client.callback("acme", rollback(selfish, selfish, user, "10")).error == "ROLLBACK_NOT_ALLOWED"
    assert client.callback("acme", rollback(tx(), tx(), "nobody", "-1", "???")).error is None
    assert client.balance(user) == "100.00"


def test_ids_of_two_operators_never_meet(client: WalletClient, new_player: NewPlayer) -> None:
    """The same id from another operator is another transaction on the same balance."""
    user, name = new_player("100.00"), tx()
    client.callback("acme", bet(name, user, "10"))
    assert client.callback("beta", result(name, user, "1")).error is None
    assert client.callback("beta", rollback(tx(), name, user, "1")).error is None
    assert client.balance(user) == "90.00"
    found = client.admin("GET", f"/transactions/{name}").json["transactions"]
    assert [one["operator"] for one in found] == ["acme", "beta"]


def test_blocked_and_excluded_players_may_not_bet_but_are_paid(
    client: WalletClient, new_player: NewPlayer
) -> None:
    """Unblock lifts a block and never an exclusion; even a bet of 0 is looked at."""
    user, name = new_player("100.00"), tx()
    client.callback("acme", bet(name, user, "10"))
    client.admin("POST", f"/players/{user}/block")
    assert client.callback("acme", bet(tx(), user, "0")).error == "USER_BLOCKED"
    assert client.callback("acme", result(tx(), user, "3")).error is None
    assert client.callback("acme", rollback(tx(), name, user, "10")).error is None
    client.admin("POST", f"/players/{user}/unblock")
    assert client.callback("acme", bet(tx(), user, "1")).error is None
    client.admin("POST", f"/players/{user}/exclusion", {"until": "2999-01-01"})
    client.admin("POST", f"/players/{user}/block")
    client.admin("POST", f"/players/{user}/unblock")
    shown = client.admin("GET", f"/players/{user}").json
    assert (shown["status"], shown["excluded_until"]) == ("active", "2999-01-01T00:00:00Z")
    assert client.callback("acme", bet(tx(), user, "1")).error == "USER_BLOCKED"
    assert client.callback("acme", result(tx(), user, "1")).error is None
    assert client.balance(user) == "103.00"


def test_an_exclusion_is_never_shortened(client: WalletClient, new_player: NewPlayer) -> None:
    """Longer is possible, shorter and the past are not."""
    user = new_player()
    path = f"/players/{user}/exclusion"
    assert client.admin("POST", path, {"until": "2998-01-01"}).status == 200
    assert client.admin("POST", path, {"until": "2997-01-01"}).status == 409
    assert client.admin("POST", path, {"until": "2001-01-01"}).status == 400
    assert client.admin("POST", path, {"until": "2999-01-01T00:00:00+02:00"}).status == 200
    assert client.admin("GET", f"/players/{user}").json["excluded_until"] == "2998-12-31T22:00:00Z"


def test_a_stake_limit_counts_accepted_stakes_that_stand(client: WalletClient, new_player: NewPlayer) -> None:
    """A rolled-back stake counts no more; a result changes nothing; `none` ends it."""
    user, name = new_player("100.00"), tx()
    limits = f"/players/{user}/limits"
    body = {"kind": "stake", "amount": "20", "currency": "EUR", "per": "day"}
    assert client.admin("PUT", limits, body).json["accounts"][0]["limits"] == [
        {"kind": "stake", "per": "day", "amount": "20.00", "used": "0.00"}
    ]
    client.callback("acme", bet(name, user, "15"))
    over = tx()
    assert client.callback("acme", bet(over, user, "5.01")).error == "LIMIT_EXCEEDED"
    assert client.callback("acme", bet(tx(), user, "5")).error is None
    client.callback("acme", rollback(tx(), name, user, "15"))
    assert client.callback("acme", bet(tx(), user, "15")).error is None
    assert client.callback("acme", bet(over, user, "5.01")).error == "LIMIT_EXCEEDED"
    client.admin("PUT", limits, {**body, "amount": None})
    assert client.callback("acme", bet(tx(), user, "50")).error is None


def test_a_loss_limit_counts_stakes_minus_results(client: WalletClient, new_player: NewPlayer) -> None:
    """What was won back may be staked again."""
    user = new_player("100.00")
    body = {"kind": "loss", "amount": "10", "currency": "EUR", "per": "month"}
    client.admin("PUT", f"/players/{user}/limits", body)
    assert client.callback("acme", bet(tx(), user, "10")).error is None
    assert client.callback("acme", bet(tx(), user, "1")).error == "LIMIT_EXCEEDED"
    client.callback("acme", result(tx(), user, "4"))
    assert client.callback("acme", bet(tx(), user, "4")).error is None


@pytest.mark.parametrize(
    ("user", "currency", "error"),
    [
        ("nobody", "EUR", "USER_NOT_FOUND"),
        (None, "USD", "CURRENCY_MISMATCH"),
        (None, "XXQ", "INVALID_REQUEST"),
    ],
)
def test_what_is_not_stored_is_decided_anew(
    client: WalletClient, new_player: NewPlayer, user: str | None, currency: str, error: str
) -> None:
    """An unknown user, an account that is missing, no currency at all: the same id may succeed later."""
    player, name = new_player("100.00"), tx()
    assert client.callback("acme", result(name, user or player, "1", currency)).error == error
    assert client.callback("acme", result(name, player, "1")).error is None
    assert client.balance(player) == "101.00"


@pytest.mark.parametrize(
    "amount", ["-1", "0.001", '"5"', "true", "null", "NaN", "Infinity", "1e30", "[1]", "1e-9999999999"]
)
def test_amounts_that_are_none(client: WalletClient, new_player: NewPlayer, amount: str) -> None:
    """Refused, not stored, never rounded."""
    user, name = new_player("100.00"), tx()
    assert client.callback("acme", bet(name, user, amount)).error == "INVALID_REQUEST"
    assert client.callback("acme", bet(name, user, "1")).error is None


@pytest.mark.parametrize(
    ("amount", "left"), [("1e1", "90.00"), ("10.000", "90.00"), ("-0", "100.00"), ("0.10e2", "90.00")]
)
def test_amounts_are_read_by_value(
    client: WalletClient, new_player: NewPlayer, amount: str, left: str
) -> None:
    """Exponents are exact, trailing zeros no decimals, minus zero is zero."""
    user = new_player("100.00")
    assert client.callback("acme", bet(tx(), user, amount)).error is None
    assert client.balance(user) == left


def test_coins_keep_all_18_places(client: WalletClient, new_player: NewPlayer) -> None:
    """A wei is a wei, next to 10^17 ether."""
    user = new_player("100000000000000000.000000000000000001", "ETH")
    assert client.callback("acme", bet(tx(), user, "0.000000000000000001", "ETH")).error is None
    assert client.balance(user, "ETH") == "100000000000000000.000000000000000000"


def test_names_are_any_unicode(client: WalletClient, new_player: NewPlayer) -> None:
    """Case-sensitive, never trimmed, folded or normalised; a slash and an emoji are letters."""
    number = next(_numbers)
    user, name = f" {number} Zoë/😀 ", f" {number} ID/é "
    body = {"user_id": user, "currency": "EUR", "deposit": "10"}
    assert client.admin("POST", "/players", body, key=tx("key")).status == 201
    assert client.callback("acme", bet(name, user, "4")).error is None
    assert client.callback("acme", bet(name.strip(), user, "4")).error is None
    assert client.callback("acme", bet(tx(), user.strip(), "4")).error == "USER_NOT_FOUND"
    assert client.balance(quote(user, safe="")) == "2.00"
    assert client.admin("GET", f"/transactions/{quote(name, safe='')}").status == 200


def test_signatures(client: WalletClient, new_player: NewPlayer) -> None:
    """Either case of hex, the misspelt header too; none, two, or a wrong one are INVALID_SIGNATURE."""
    user = new_player("100.00")
    raw = bet(tx(), user, "1")
    good = signed(raw)["X-Security-Hash"]
    path = f"/callbacks/acme/{endpoint_of(raw)}"
    for headers in ({"X-Securty-Hash": good}, {"x-security-hash": good.upper()}):
        assert client.send("POST", path, raw, headers).error is None
    wrong: list[dict[str, str]] = [
        {},
        {"X-Security-Hash": good, "X-Securty-Hash": good},
        {"X-Security-Hash": good[:-1]},
        {"X-Security-Hash": "\xe9" * 64},
        {"X-Security-Hash": signed(raw + b" ")["X-Security-Hash"]},
    ]
    for headers in wrong:
        refused = client.send("POST", path, raw, headers)
        assert (refused.status, refused.body) == (200, b'{"error":"INVALID_SIGNATURE"}')
    assert client.callback("beta", raw, secret=SECRET + "x").error == "INVALID_SIGNATURE"


def test_what_is_no_callback_is_an_ordinary_4xx(client: WalletClient) -> None:
    """Wrong method, path, operator, size or encoding."""
    raw = bet(tx(), "anybody", "1")
    headers = signed(raw)
    assert client.send("GET", "/callbacks/acme/transaction").status == 405
    assert client.send("POST", "/callbacks/nobody/transaction", raw, headers).status == 404
    assert client.send("POST", "/callbacks/acme/transactions", raw, headers).status == 404
    assert client.send("POST", "/callbacks/acme/transaction/", raw, headers).status == 404
    assert client.send("POST", "/callbacks/cashier/transaction", raw, headers).status == 404
    unknown = client.send("POST", "/callbacks/nobody/transaction", raw, headers)
    assert unknown.body == client.send("GET", "/callbacks/really/nothing").body
    encoded = client.send("POST", "/callbacks/acme/transaction", raw, {**headers, "Content-Encoding": "gzip"})
    assert encoded.status == 415


def test_a_body_over_64_kib_is_413(client: WalletClient) -> None:
    """Signed or not; the declared length is enough."""
    raw = bet(tx(), "anybody", "1") + b" " * 65_536
    head = {**signed(raw), "Content-Length": str(len(raw)), "Expect": "100-continue"}
    assert client.send("POST", "/callbacks/acme/transaction", b"", head).status == 413


def test_profiles_change_what_they_name(client: WalletClient, new_player: NewPlayer) -> None:
    """The four fields that change answers of the wallet."""
    profile = {
        "altered_replay": "refuse",
        "bad_signature_status": 401,
        "unknown_rollback": "refuse",
        "rollback_of_result": "refuse",
    }
    operator = f"strict-{next(_numbers)}"
    made = client.admin("POST", "/operators", {"name": operator, "security_hash": SECRET, "profile": profile})
    assert made.status == 201
    user, name, paid, unknown = new_player("10.00"), tx(), tx(), tx()
    assert client.callback(operator, bet(name, user, "1"), secret="wrong-wrong-wrong-wrong").status == 401
    assert client.callback(operator, bet(name, user, "1")).error is None
    assert client.callback(operator, bet(name, user, "2")).error == "TRANSACTION_MISMATCH"
    assert client.callback(operator, rollback(tx(), unknown, user, "1")).error == "ROLLBACK_NOT_ALLOWED"
    assert client.callback(operator, bet(unknown, user, "1")).error == "TRANSACTION_ROLLED_BACK"
    client.callback(operator, result(paid, user, "5"))
    client.callback(operator, bet(tx(), user, "12"))
    assert client.callback(operator, rollback(tx(), paid, user, "5")).error == "ROLLBACK_NOT_ALLOWED"
    assert client.balance(user) == "2.00"
