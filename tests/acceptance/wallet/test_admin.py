"""The admin API: the token, ids of acts, what is refused and how."""

from __future__ import annotations

import itertools
import socket

import pytest
from tests.acceptance.wallet.conftest import NewPlayer
from tests.acceptance.wallet.many import Crowd, run, together
from tests.acceptance.wallet.service import (
    ADMIN_TOKEN,
    SECRET,
    WalletClient,
    WalletProcess,
    bet,
    result,
    running,
    until,
)

_numbers = itertools.count(1)


def key() -> str:
    """A fresh id of an act."""
    return f"act-{next(_numbers)}"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {ADMIN_TOKEN}", f"Bearer {ADMIN_TOKEN}x"]
)
def test_nothing_without_the_token(client: WalletClient, header: str | None) -> None:
    """401 for every path and method, known or not, before anything else is looked at."""
    headers = {} if header is None else {"Authorization": header}
    for method, path in (
        ("GET", "/players/alice"),
        ("POST", "/operators"),
        ("GET", "/nothing"),
        ("GET", "/openapi.json"),
    ):
        refused = client.send(method, f"/admin/v1{path}", None, headers)
        assert (refused.status, refused.error) == (401, "UNAUTHORIZED")
        assert refused.headers["www-authenticate"] == "Bearer"


def test_without_a_token_set_the_admin_api_is_off(fresh_wallet: WalletProcess) -> None:
    """Callbacks are served, admin calls answered 403."""
    fresh_wallet.without = ("STAKEWIRE_ADMIN_TOKEN",)
    with running(fresh_wallet), fresh_wallet.client() as client:
        assert client.admin("GET", "/operators").error == "ADMIN_OFF"
        assert client.send("GET", "/health/ready").status == 200


def test_a_deposit_needs_a_key(client: WalletClient, new_player: NewPlayer) -> None:
    """Without one a retry could pay twice."""
    user = new_player()
    body = {"amount": "5", "currency": "EUR"}
    for path in (f"/players/{user}/deposits", f"/players/{user}/withdrawals"):
        refused = client.admin("POST", path, body)
        assert (refused.status, refused.error) == (400, "IDEMPOTENCY_KEY_REQUIRED")
    made = client.admin("POST", "/players", {"user_id": "no-key", "currency": "EUR", "deposit": "5"})
    assert (made.status, made.error) == (400, "IDEMPOTENCY_KEY_REQUIRED")
    assert client.balance(user) == "100.00"


def test_a_money_act_is_done_once(client: WalletClient, new_player: NewPlayer) -> None:
    """The same key gives the same movement; with another amount, player or direction it is a conflict."""
    user, other, name = new_player("0"), new_player("0"), key()
    path, body = f"/players/{user}/deposits", {"amount": "5.00", "currency": "EUR"}
    first = client.admin("POST", path, body, name).json
    again = client.admin("POST", path, {"amount": "5", "currency": "EUR"}, name).json
    assert (first["replay"], again["replay"]) == (False, True)
    assert {**again, "replay": False} == first
    assert first["balance"] == "5.00"
    for wrong_path, wrong_body in (
        (path, {**body, "amount": "6"}),
        (f"/players/{other}/deposits", body),
        (f"/players/{user}/withdrawals", body),
    ):
        refused = client.admin("POST", wrong_path, wrong_body, name)
        assert (refused.status, refused.error) == (409, "ID_REUSED")
    assert (client.balance(user), client.balance(other)) == ("5.00", "0.00")


def test_a_withdrawal_never_goes_below_zero(client: WalletClient, new_player: NewPlayer) -> None:
    """422 with the reason; that key stays refused, another may succeed later."""
    user, name = new_player("5.00"), key()
    path, body = f"/players/{user}/withdrawals", {"amount": "5.01", "currency": "EUR"}
    refused = client.admin("POST", path, body, name)
    assert (refused.status, refused.error) == (422, "INSUFFICENT_FUNDS")
    client.admin("POST", f"/players/{user}/deposits", {"amount": "1", "currency": "EUR"}, key())
    assert client.admin("POST", path, body, name).status == 422
    assert client.admin("POST", path, body, key()).json["balance"] == "0.99"


def test_one_key_at_the_same_moment(
    wallet: WalletProcess, client: WalletClient, new_player: NewPlayer
) -> None:
    """Ten copies of a deposit on ten connections: one effect, one answer."""
    user, name = new_player("0"), key()
    body = {"amount": "5", "currency": "EUR"}

    async def play(crowd: Crowd) -> list[dict[str, object]]:
        return await together(crowd.admin("POST", f"/players/{user}/deposits", body, name) for _ in range(10))

    answers = run(wallet.url, 10, play)
    assert len({str(answer["id"]) for answer in answers}) == 1
    assert [answer["replay"] for answer in answers].count(False) == 1
    assert client.balance(user) == "5.00"


def test_a_player_is_made_once(client: WalletClient) -> None:
    """The same key again is the same player and no second deposit; another key is a conflict."""
    body = {"user_id": "made-once", "currency": "EUR", "deposit": "10"}
    name = key()
    first = client.admin("POST", "/players", body, name)
    assert client.admin("POST", "/players", body, name).json == first.json
    refused = client.admin("POST", "/players", body, key())
    assert (refused.status, refused.error) == (409, "ACCOUNT_EXISTS")
    second = client.admin("POST", "/players", {"user_id": "made-once", "currency": "BTC"})
    assert [account["currency"] for account in second.json["accounts"]] == ["BTC", "EUR"]
    assert client.balance("made-once") == "10.00"


def test_acts_on_players_are_done_once(client: WalletClient, new_player: NewPlayer) -> None:
    """A block that is sent again after an unblock does not block again; its key stands for nothing else."""
    user, name = new_player(), key()
    assert client.admin("POST", f"/players/{user}/block", key=name).json["status"] == "blocked"
    assert client.admin("POST", f"/players/{user}/unblock", key=key()).json["status"] == "active"
    assert client.admin("POST", f"/players/{user}/block", key=name).json["status"] == "active"
    assert client.admin("POST", f"/players/{user}/unblock", key=name).error == "ID_REUSED"


def test_closed_is_for_good(client: WalletClient, new_player: NewPlayer) -> None:
    """A closed player is not unblocked, may not bet and is still paid."""
    user = new_player("10.00")
    assert client.admin("POST", f"/players/{user}/close").json["status"] == "closed"
    assert client.admin("POST", f"/players/{user}/unblock").error == "PLAYER_CLOSED"
    assert client.callback("acme", bet(key(), user, "1")).error == "USER_BLOCKED"
    assert client.callback("acme", result(key(), user, "1")).error is None


def test_history_pages(client: WalletClient, new_player: NewPlayer) -> None:
    """Newest first; after a cursor what came since, oldest first, and nothing is missed or shown twice."""
    user = new_player("100.00")
    start = client.admin("GET", f"/players/{user}/history").json["next"]
    names = [key() for _ in range(5)]
    for name in names:
        client.callback("acme", bet(name, user, "1"))
    seen: list[str] = []
    cursor = start
    while items := (page := client.admin("GET", f"/players/{user}/history?limit=2&after={cursor}").json)[
        "items"
    ]:
        seen += [item["transaction_id"] for item in items]
        cursor = page["next"]
    assert seen == names
    newest = client.admin("GET", f"/players/{user}/history?limit=2").json
    assert [item["transaction_id"] for item in newest["items"]] == [names[4], names[3]]
    assert newest["next"] == cursor
    item = newest["items"][0]
    assert (item["kind"], item["operator"], item["delta"], item["balance_after"], item["error"]) == (
        "bet", "acme", "-1.00", "95.00", None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/players/nobody", None, 404),
        ("GET", "/players/nobody/history", None, 404),
        ("GET", "/transactions/nothing", None, 404),
        ("POST", "/players/nobody/block", None, 404),
        ("DELETE", "/players/nobody", None, 405),
        ("GET", "/players", None, 405),
        ("GET", "/nothing", None, 404),
        ("GET", "/players/", None, 404),
        ("GET", "/players/%ff", None, 404),
        ("GET", "/players/nobody/history?limit=0", None, 400),
        ("GET", "/players/nobody/history?limit=1001", None, 400),
        ("GET", "/players/nobody/history?limit=1&limit=2", None, 400),
        ("GET", "/players/nobody/history?what=1", None, 400),
        ("GET", "/players/nobody/history?after=nonsense", None, 404),
        ("GET", "/players/nobody/history?currency=XXQ", None, 400),
        ("POST", "/players", {"user_id": "x", "currency": "XXQ"}, 400),
        ("POST", "/players", {"user_id": "x", "currency": "EUR", "depozit": "1"}, 400),
        ("POST", "/players", {"user_id": "a\u0001b", "currency": "EUR"}, 400),
        ("POST", "/players", {"user_id": "x" * 129, "currency": "EUR"}, 400),
        ("POST", "/players", {"user_id": "\ud800", "currency": "EUR"}, 400),
        ("POST", "/players", {"user_id": 5, "currency": "EUR"}, 400),
        ("POST", "/players", [], 400),
        ("POST", "/operators", {"name": "Not OK"}, 400),
        ("POST", "/operators", {"name": "cashier"}, 400),
        ("POST", "/operators", {"name": "short", "security_hash": "short"}, 400),
        ("POST", "/operators", {"name": "odd", "profile": {"altered_reply": "refuse"}}, 400),
        ("POST", "/operators", {"name": "acme"}, 409),
        ("POST", "/operators/nobody/rotate", {}, 404),
    ],
)
def test_wrong_calls(client: WalletClient, method: str, path: str, body: object, status: int) -> None:
    """A 4xx with a code and a sentence."""
    refused = client.admin(method, path, body, key())
    assert refused.status == status, refused.body
    assert set(refused.json) == {"error", "message"}
    assert "Traceback" not in refused.json["message"]


def test_amounts_must_be_exact_strings(client: WalletClient, new_player: NewPlayer) -> None:
    """No floats, no rounding, no signs, no exponents."""
    user = new_player("0")
    for amount in (5, 5.0, "5.001", "-5", "+5", "1e2", " 5", "", ".5", "5.", "1" * 40, None, "٥"):
        body = {"amount": amount, "currency": "EUR"}
        assert client.admin("POST", f"/players/{user}/deposits", body, key()).status == 400, amount
    assert client.balance(user) == "0.00"


def test_a_body_that_is_no_json(client: WalletClient) -> None:
    """400 for rubbish, 413 for too much."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    for raw in (b"", b"{", b"\xff\xfe", b"[" * 10_000, b'{"user_id": "\\ud800", "currency": "EUR"}'):
        assert client.send("POST", "/admin/v1/players", raw, headers).status == 400, raw[:20]
    assert client.send("POST", "/admin/v1/players", b" " * 70_000, headers).status == 413


@pytest.mark.parametrize(
    "raw",
    [
        b'{"user_id": "twice", "user_id": "twin", "currency": "EUR"}',
        b'{"user_id": "twice", "currency": "EUR", "currency": "EUR"}',
        b'\xef\xbb\xbf{"user_id": "twice", "currency": "EUR"}',
    ],
)
def test_a_body_has_one_reading_or_none(client: WalletClient, raw: bytes) -> None:
    """A name given twice is refused, as on the callbacks, and nothing is done."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Idempotency-Key": key()}
    refused = client.send("POST", "/admin/v1/players", raw, headers)
    assert (refused.status, refused.error) == (400, "INVALID_REQUEST")
    assert client.admin("GET", "/players/twice").status == 404


def test_a_profile_is_replaced_while_the_wallet_runs(client: WalletClient, new_player: NewPlayer) -> None:
    """The answer is what is in force; workers go by it within a second; keys left out are defaults again."""
    user = new_player()
    made = client.admin("POST", "/operators", {"name": "changing", "security_hash": SECRET})
    assert made.status == 201
    changed = client.admin("PUT", "/operators/changing/profile", {"profile": {"altered_replay": "refuse"}})
    assert (changed.status, changed.json["profile"]["altered_replay"]) == (200, "refuse")
    assert client.callback("changing", bet("c1", user, "1")).error is None
    until(lambda: client.callback("changing", bet("c1", user, "2")).error == "TRANSACTION_MISMATCH")
    again = client.admin("PUT", "/operators/changing/profile", {"profile": {"bad_signature_status": 401}})
    assert again.json["profile"]["altered_replay"] == "first_answer"
    until(lambda: client.callback("changing", bet("c1", user, "2")).error is None)
    for name, body, status in (
        ("nobody", {"profile": {}}, 404),
        ("cashier", {"profile": {}}, 404),
        ("changing", {"profile": {"altered_reply": "refuse"}}, 400),
        ("changing", {}, 400),
    ):
        assert client.admin("PUT", f"/operators/{name}/profile", body).status == status


def test_every_path_that_is_not_there_is_the_same_404(client: WalletClient) -> None:
    """Inside and outside the callbacks, whoever asks: the answer tells nothing of what else there is."""
    paths = ["/", "/nowhere", "/callbacks", "/callbacks/", "/callbacks/acme", "/callbacks/nobody/transaction"]
    paths += ["/callbacks/acme/transaction/", "/health/live/", "/metrics/", "/admin/v1/nowhere", "/admin/v2"]
    for path in paths:
        answer = (
            client.admin("POST", path.removeprefix("/admin/v1"), {})
            if path.startswith("/admin/v1")
            else (client.send("POST", path, b"{}", {"Content-Type": "application/json"}))
        )
        body = {"error": "NOT_FOUND", "message": "there is no such path"}
        assert (answer.status, answer.json) == (404, body), path


def test_operators_are_shown_without_their_secrets(client: WalletClient) -> None:
    """The security hash is in the answer that made it, and nowhere else."""
    made = client.admin("POST", "/operators", {"name": f"shown-{next(_numbers)}"})
    secret = made.json["security_hash"]
    assert len(secret) >= 43
    client.callback(made.json["name"], bet("x", "nobody", "1"), secret=secret)
    listed = client.admin("GET", "/operators")
    assert secret not in listed.body.decode()
    assert made.json["name"] in [operator["name"] for operator in listed.json["operators"]]


def test_the_admin_port_takes_the_admin_api_away_from_the_public_one(fresh_wallet: WalletProcess) -> None:
    """With `--admin-port`, admin API and metrics are there and only there; callbacks only on the other."""
    admin_port = _free_port()
    fresh_wallet.flags = ("--admin-port", str(admin_port))
    with running(fresh_wallet), fresh_wallet.client() as public, WalletClient(admin_port) as admin:
        assert public.admin("GET", "/operators").status == 404
        assert public.send("GET", "/metrics").status == 404
        assert admin.admin("GET", "/operators").status == 200
        assert admin.send("GET", "/metrics").status == 200
        assert admin.send("POST", "/callbacks/acme/transaction", b"{}").status == 404
        assert (public.send("GET", "/health/ready").status, admin.send("GET", "/health/live").status) == (
            200,
            200,
        )


def test_metrics_count_answers(client: WalletClient, new_player: NewPlayer) -> None:
    """Answers by operator, action and code, latency, batches, queue, and money owed to the house."""
    user = new_player("0")
    client.callback("acme", bet(key(), user, "1"))
    text = client.send("GET", "/metrics").body.decode()
    assert 'stakewire_wallet_answers_total{action="bet",code="INSUFFICENT_FUNDS",operator="acme"}' in text
    for name in ("answer_seconds_bucket", "batch_size_count", "queue_depth", "queue_age_seconds"):
        assert f"stakewire_wallet_{name}" in text


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
