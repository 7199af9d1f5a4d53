"""The shell commands as real processes, spelt as the documentation spells them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.wallet.service import WalletProcess
from tests.conftest import NewDatabase


class Shell:
    """Runs `stakewire ...` on one database."""

    def __init__(self, process: WalletProcess) -> None:
        self._process = process

    def __call__(self, *words: str, exits: int = 0) -> Any:
        """The `--json` document of a command, after checking its exit code."""
        done = self._process.command(*words, "--json")
        assert done.returncode == exits, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)

    def text(self, *words: str, exits: int = 0, failure_on_stderr: bool = True) -> str:
        """What a person sees: stdout, or stderr of a failure."""
        done = self._process.command(*words)
        assert done.returncode == exits, (words, done.stdout, done.stderr)
        return done.stderr if exits and failure_on_stderr else done.stdout


@pytest.fixture(scope="module")
def shell(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A database of this module's own."""
    return Shell(WalletProcess(new_database("wallet"), tmp_path_factory.mktemp("shell")))


def test_operators(shell: Shell, tmp_path: Path) -> None:
    """add, with a hash by hand or made, and a profile; rotate; list; each with its shape."""
    profile = tmp_path / "profile.toml"
    profile.write_text('altered_replay = "refuse"\nbad_signature_status = 401\n')
    by_hand = shell(
        "wallet", "operator", "add", "acme", "--security-hash", "sixteen-letters!", "--profile", str(profile)
    )
    assert by_hand == {
        "name": "acme",
        "callback_path": "/callbacks/acme",
        "security_hash": "sixteen-letters!",
        "retired": 0,
    }
    made = shell("wallet", "operator", "add", "beta")
    assert len(made["security_hash"]) >= 43
    assert shell("wallet", "operator", "add", "acme", exits=4)["error"] == "CONFLICT"
    assert (
        shell("wallet", "operator", "add", "gamma", "--security-hash", "too-short", exits=2)["error"]
        == "INVALID_REQUEST"
    )
    profile.write_text('altered_reply = "refuse"\n')
    assert "altered_reply" in shell.text(
        "wallet", "operator", "add", "delta", "--profile", str(profile), exits=2
    )
    rotated = shell("wallet", "operator", "rotate", "beta")
    assert rotated["security_hash"] != made["security_hash"]
    assert shell("wallet", "operator", "rotate", "beta", "--retire-old") == {
        "name": "beta", "callback_path": "/callbacks/beta", "security_hash": None, "retired": 1,
    }  # fmt: skip
    replaced = shell(
        "wallet", "operator", "rotate", "beta", "--security-hash", "sixteen-letters?", "--retire-old"
    )
    assert (replaced["security_hash"], replaced["retired"]) == ("sixteen-letters?", 1)
    listed = shell("wallet", "operator", "list")["operators"]
    assert [operator["name"] for operator in listed] == ["acme", "beta"]
    assert listed[0]["profile"]["altered_replay"] == "refuse"
    assert "made" not in listed[0] and "sixteen" not in json.dumps(listed)
    assert "/callbacks/beta" in shell.text("wallet", "operator", "list")
    profile.write_text('unknown_rollback = "refuse"\n')
    now = shell("wallet", "operator", "set", "acme", "--profile", str(profile))
    assert (now["name"], now["profile"]["unknown_rollback"], now["profile"]["altered_replay"]) == (
        "acme", "refuse", "first_answer",
    )  # fmt: skip
    assert 'unknown_rollback = "refuse"' in shell.text(
        "wallet", "operator", "set", "acme", "--profile", str(profile)
    )
    assert shell("wallet", "operator", "set", "nobody", "--profile", str(profile), exits=3)


def test_players(shell: Shell) -> None:
    """add, a second account, show, deposit and withdraw with ids, block, unblock, exclude, limit, close."""
    opened = shell("wallet", "player", "add", "ann", "--currency", "EUR", "--deposit", "100.00")
    assert opened == {
        "user_id": "ann",
        "status": "active",
        "excluded_until": None,
        "accounts": [{"currency": "EUR", "balance": "100.00", "limits": []}],
    }
    second = shell("wallet", "player", "add", "ann", "--currency", "BTC")
    assert [account["balance"] for account in second["accounts"]] == ["0.00000000", "100.00"]
    moved = shell("wallet", "player", "deposit", "ann", "5.00", "EUR", "--id", "d-1")
    again = shell("wallet", "player", "deposit", "ann", "5.00", "EUR", "--id", "d-1")
    assert (moved["balance"], moved["replay"], again["replay"]) == ("105.00", False, True)
    assert again == {**moved, "replay": True}
    assert (
        shell("wallet", "player", "deposit", "ann", "6.00", "EUR", "--id", "d-1", exits=4)["error"]
        == "ID_REUSED"
    )
    assert shell("wallet", "player", "withdraw", "ann", "5.00", "EUR")["balance"] == "100.00"
    refused = shell("wallet", "player", "withdraw", "ann", "100.01", "EUR", exits=5)
    assert refused["error"] == "INSUFFICENT_FUNDS"
    assert shell("wallet", "player", "block", "ann")["status"] == "blocked"
    assert shell("wallet", "player", "unblock", "ann")["status"] == "active"
    excluded = shell("wallet", "player", "exclude", "ann", "--until", "2999-01-31")
    assert excluded["excluded_until"] == "2999-01-31T00:00:00Z"
    assert shell("wallet", "player", "unblock", "ann")["excluded_until"] == "2999-01-31T00:00:00Z"
    limited = shell("wallet", "player", "limit", "ann", "--stake", "50.00", "EUR", "--per", "week")
    assert limited["accounts"][1]["limits"] == [
        {"kind": "stake", "per": "week", "amount": "50.00", "used": "0.00"}
    ]
    shell("wallet", "player", "limit", "ann", "--loss", "20", "EUR", "--per", "day")
    assert (
        len(
            shell("wallet", "player", "limit", "ann", "--stake", "none", "EUR", "--per", "week")["accounts"][
                1
            ]["limits"]
        )
        == 1
    )
    assert shell("wallet", "player", "close", "ann")["status"] == "closed"
    assert shell("wallet", "player", "show", "ann")["status"] == "closed"


def test_history_and_transactions(shell: Shell) -> None:
    """history with --limit and --after, transaction show by either side's id."""
    shell("wallet", "player", "add", "bob", "--currency", "EUR", "--deposit", "10", "--id", "open-bob")
    for number in range(3):
        shell("wallet", "player", "deposit", "bob", "1", "EUR", "--id", f"bob-{number}")
    newest = shell("wallet", "history", "bob", "--limit", "2")
    assert [item["transaction_id"] for item in newest["items"]] == ["bob-2", "bob-1"]
    later = shell("wallet", "history", "bob", "--limit", "2", "--after", newest["items"][1]["seq"])
    assert [item["transaction_id"] for item in later["items"]] == ["bob-2"]
    assert shell("wallet", "history", "bob", "--after", newest["next"])["items"] == []
    by_theirs = shell("wallet", "transaction", "show", "bob-1")["transactions"]
    by_ours = shell("wallet", "transaction", "show", by_theirs[0]["id"])["transactions"]
    assert by_theirs == by_ours and by_ours[0]["delta"] == "1.00"
    assert shell("wallet", "transaction", "show", "nothing", exits=3)["error"] == "NOT_FOUND"
    assert "bob-2" in shell.text("wallet", "history", "bob")
    assert "balance_after" in shell.text("wallet", "transaction", "show", "bob-1")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("wallet", "player", "show", "nobody"), 3),
        (("wallet", "player", "add", "x", "--currency", "XXQ"), 2),
        (("wallet", "player", "add", "x", "--currency", "EUR", "--deposit", "1.001"), 2),
        (("wallet", "player", "limit", "x", "EUR", "--per", "day"), 2),
        (("wallet", "player", "limit", "x", "EUR", "--per", "year", "--stake", "1"), 2),
        (("wallet", "player", "exclude", "x", "--until", "tomorrow"), 2),
        (("wallet", "player", "exclude", "x", "--until", "2999-01-01T00:00:00"), 2),
        (("wallet", "operator", "rotate", "nobody"), 3),
    ],
)
def test_wrong_commands(shell: Shell, words: tuple[str, ...], code: int) -> None:
    """The documented exit code, and a sentence on stderr without a stack trace."""
    said = shell.text(*words, exits=code)
    assert said.strip() and "Traceback" not in said


def test_verify_names_a_broken_row(shell: Shell, new_database: NewDatabase, tmp_path: Path) -> None:
    """Clean is exit 0; a balance changed behind the ledger's back is named, with exit 1."""
    process = WalletProcess(new_database("wallet"), tmp_path / "data")
    broken = Shell(process)
    broken("wallet", "player", "add", "eve", "--currency", "EUR", "--deposit", "10", "--id", "open-eve")
    clean = broken("verify")
    assert (clean["ok"], clean["transactions"], clean["accounts"], clean["problems"]) == (True, 1, 1, [])
    _execute(process.database_url, "UPDATE wallet.account SET balance = balance + 1")
    found = broken("verify", exits=1)
    assert not found["ok"] and "balances" in [problem["check"] for problem in found["problems"]]
    done = process.command("verify")
    assert done.returncode == 1 and "BROKEN balances" in done.stdout


def test_verify_names_every_broken_row(new_database: NewDatabase, tmp_path: Path) -> None:
    """However many there are; `--most` bounds the names, and says how many rows it left out."""
    process = WalletProcess(new_database("wallet"), tmp_path / "data")
    shell = Shell(process)
    shell("wallet", "player", "add", "eve", "--currency", "EUR")
    _execute(
        process.database_url,
        "INSERT INTO wallet.account (id, slot, player_id, currency, balance, opened_at)"
        " SELECT 10 + n, a.slot, a.player_id, 'X' || n, 1, now()"
        " FROM wallet.account AS a, generate_series(1, 1200) AS n",
    )
    said = shell.text("verify", exits=1, failure_on_stderr=False)
    assert said.count("BROKEN balances: account") == 1200 and "1200 rows break an invariant" in said
    few = shell.text("verify", "--most", "3", exits=1, failure_on_stderr=False)
    assert few.count("BROKEN balances: account") == 3
    assert "BROKEN balances: 1197 more rows" in few and "1200 rows break an invariant" in few
    report = shell("verify", "--most", "3", exits=1)
    assert (report["broken"], len(report["problems"]), report["unnamed"]) == (1200, 3, {"balances": 1197})


def test_a_shell_in_another_zone_is_refused(new_database: NewDatabase, tmp_path: Path) -> None:
    """The zone is the ledger's: a setting that differs is one sentence; without one, everybody uses it."""
    process = WalletProcess(new_database("wallet"), tmp_path / "data")
    shell = Shell(process)
    process.environment["STAKEWIRE_WALLET_TIME_ZONE"] = "Asia/Tokyo"
    shell("wallet", "player", "add", "ann", "--currency", "EUR", "--deposit", "10", "--id", "open-ann")
    shell("wallet", "player", "limit", "ann", "--stake", "5", "EUR", "--per", "day")
    process.environment["STAKEWIRE_WALLET_TIME_ZONE"] = "UTC"
    for words in (
        ("wallet", "player", "show", "ann"),
        ("verify",),
        ("serve", "wallet", "--port", "0"),
        ("serve", "wallet", "--port", "0", "--workers", "2"),
    ):
        said = shell.text(*words, exits=7)
        assert "'Asia/Tokyo'" in said and "'UTC'" in said and "Traceback" not in said
        assert len(set(said.strip().splitlines())) == 1  # each worker says it
    del process.environment["STAKEWIRE_WALLET_TIME_ZONE"]
    excluded = shell("wallet", "player", "exclude", "ann", "--until", "2999-02-01")
    assert excluded["excluded_until"] == "2999-01-31T15:00:00Z"
    assert shell("verify")["ok"] is True


def _execute(database_url: str, sql: str) -> None:
    import asyncio

    import asyncpg

    async def main() -> None:
        conn = await asyncpg.connect(database_url)
        await conn.execute(sql)
        await conn.close()

    asyncio.run(main())
