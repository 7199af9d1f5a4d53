"""`stakewire sportsbook callbacks`, `bet`, `result`, `rollback` and `stakewire sign`, as a user runs them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from stakewire.delivery.action import Action
from stakewire.wire.sportsbook.signing import HEADER, Secret

SECRET = "a security hash for the commands"
BODY = b'{"transaction_id":"op-9001","action":"bet","user_id":"u-7","currency":"EUR","amount":5.25}'

Run = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
def stakewire(database_url: str, tmp_path: Path) -> Run:
    """Runs a command with `--json` on the test's database: exit code and document."""
    env = {
        **os.environ,
        "STAKEWIRE_DATABASE_URL": database_url,
        "STAKEWIRE_DATA": str(tmp_path),
        "STAKEWIRE_EGRESS_ALLOW": "127.0.0.0/8",
    }

    async def run(*words: str, **more: str) -> tuple[int, Any]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stakewire", *words, "--json"),
            env={**env, **more},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, json.loads(out) if out else None

    return run


@pytest.fixture
async def casino(stakewire: Run, receivers: Any) -> Any:
    """A receiver that is registered as the client `casino`."""
    receiver = await receivers()
    words = ("client", "add", "casino", "--callback-url", receiver.url, "--security-hash", SECRET)
    code, _ = await stakewire("sportsbook", *words)
    assert code == 0
    return receiver


async def test_bet_by_hand_is_a_real_callback_with_both_sides_bytes(stakewire: Run, casino: Any) -> None:
    """What is printed is what went over the wire, and what came back."""
    code, said = await stakewire("sportsbook", "bet", "casino", "u-7", "5.25", "EUR", "--id", "op-9001")
    assert code == 0
    [request] = casino.requests
    assert request.body == BODY == said["request"]["body"].encode()
    assert request.headers[HEADER.lower()] == Secret(SECRET).sign(BODY) == said["request"]["headers"][HEADER]
    [copy] = said["copies"]
    assert (copy["outcome"], copy["client_transaction_id"]) == ("accepted", "w-op-9001")
    assert copy["answer"]["status"] == 200
    assert json.loads(copy["answer"]["body"])["error"] is None
    assert copy["sent_at"] <= copy["answered_at"]


async def test_copies_are_the_same_bytes(stakewire: Run, casino: Any) -> None:
    """Five at once, and two apart; each copy with its own answer."""
    _, at_once = await stakewire("sportsbook", "result", "casino", "u", "0.00", "EUR", "--copies", "5")
    assert [copy["copy"] for copy in at_once["copies"]] == [1, 2, 3, 4, 5]
    assert len({request.body for request in casino.requests}) == 1
    words = ("--copies", "2", "--delay", "0.2")
    _, apart = await stakewire("sportsbook", "result", "casino", "u", "1.00", "EUR", *words)
    first, second = apart["copies"]
    assert first["answered_at"] < second["sent_at"]


async def test_rollback_names_its_target_on_its_own_endpoint(stakewire: Run, casino: Any) -> None:
    """The other path, and the field of the contract."""
    words = ("rollback", "casino", "u", "5.25", "EUR", "--target", "op-1", "--id", "op-2")
    code, _ = await stakewire("sportsbook", *words)
    assert code == 0
    [request] = casino.requests
    assert request.line.split()[1] == "/hook/transaction-rollback"
    assert json.loads(request.body)["rollback_transaction_id"] == "op-1"


async def test_wrong_signature_and_any_body_can_be_sent(stakewire: Run, casino: Any, tmp_path: Path) -> None:
    """To see how a wallet takes them: the file's bytes as they are, the hash not the client's."""
    file = tmp_path / "body"
    file.write_bytes(b'{"amount": NaN}\xff')
    words = ("bet", "casino", "u", "1", "EUR", "--body", str(file), "--wrong-signature")
    await stakewire("sportsbook", *words)
    [request] = casino.requests
    assert request.body == file.read_bytes()
    assert request.headers[HEADER.lower()] != Secret(SECRET).sign(request.body)


async def test_what_cannot_be_sent_is_said_with_its_exit_code(stakewire: Run, casino: Any) -> None:
    """No such client 3, no such currency or amount 2, no answer 6, an address that is not allowed 5."""
    assert (await stakewire("sportsbook", "bet", "nobody", "u", "1", "EUR"))[0] == 3
    assert (await stakewire("sportsbook", "bet", "casino", "u", "1", "EURO"))[0] == 2
    assert (await stakewire("sportsbook", "bet", "casino", "u", "1.001", "EUR"))[0] == 2
    code, said = await stakewire("sportsbook", "bet", "casino", "u", "0.00", "EUR")
    assert (code, casino.requests) == (2, [])
    assert "--body" in said["message"]
    refused, _ = await stakewire("sportsbook", "bet", "casino", "u", "1", "EUR", STAKEWIRE_EGRESS_ALLOW="")
    assert refused == 5
    await casino.stop()
    code, said = await stakewire("sportsbook", "bet", "casino", "u", "1", "EUR")
    assert code == 6
    assert said["copies"][0]["outcome"] == "not_sent"


async def test_parked_callbacks_are_listed_shown_and_sent_again(
    stakewire: Run, casino: Any, write: Any, pool: Any
) -> None:
    """By number or by transaction id; `--all-parked` for the rest."""
    written = await write(*(write.new(transaction_id=f"t-{n}", bet_id=n) for n in range(3)))
    await pool.execute(
        "UPDATE callback SET state = 'parked', due_at = NULL, attempts = 175, last_reason = 'HTTP 500'"
    )
    _, listed = await stakewire("sportsbook", "callbacks", "list", "--state", "parked", "--client", "casino")
    assert [row["id"] for row in listed["callbacks"]] == [str(one) for one in reversed(written)]
    _, shown = await stakewire("sportsbook", "callbacks", "show", "t-1")
    assert (shown["id"], shown["client"], shown["amount"]) == (str(written[1]), "casino", "5.25")
    assert (await stakewire("sportsbook", "callbacks", "retry", "t-1"))[1] == {"retried": [str(written[1])]}
    _, retried = await stakewire("sportsbook", "callbacks", "retry", "--all-parked")
    assert retried["retried"] == [str(written[0]), str(written[2])]
    rows = await pool.fetch("SELECT state, schedule_start, attempts FROM callback")
    assert {tuple(row) for row in rows} == {("due", 175, 175)}


async def test_what_must_not_be_sent_again_is_refused(stakewire: Run, write: Any) -> None:
    """A bet, a callback behind another, one that does not exist, and no name at all."""
    await write(write.new(Action.BET, transaction_id="bet", bet_id=1))
    await write(write.new(transaction_id="behind", bet_id=1))
    assert (await stakewire("sportsbook", "callbacks", "retry", "bet"))[0] == 4
    assert (await stakewire("sportsbook", "callbacks", "retry", "behind"))[0] == 4
    assert (await stakewire("sportsbook", "callbacks", "retry", "missing"))[0] == 3
    assert (await stakewire("sportsbook", "callbacks", "retry"))[0] == 2
    assert (await stakewire("sportsbook", "callbacks", "list", "--state", "lost"))[0] == 2


async def test_sign_prints_the_contracts_vector(stakewire: Run, tmp_path: Path) -> None:
    """From a flag, from a file, from the environment."""
    body, secret = tmp_path / "body", tmp_path / "secret"
    body.write_bytes(BODY)
    secret.write_text("demo-hash\n")
    expected = "b808b9dad87ac401d96cb799bc8e7058f1ad3ce9377e9040e876d803257e8501"
    for words, env in (
        (("--secret", "demo-hash"), {}),
        (("--secret-file", str(secret)), {}),
        ((), {"STAKEWIRE_SIGN_SECRET": "demo-hash"}),
    ):
        code, said = await stakewire("sign", *words, str(body), **env)
        assert (code, said["hash"]) == (0, expected)
    assert (await stakewire("sign", str(body)))[0] == 2
