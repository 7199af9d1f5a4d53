"""`stakewire sportsbook ...` as its users type it, on a database by URL."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sportsbook.conftest import MASTER_KEY
from tests.integration.sportsbook.serving import served
from tests.integration.sportsbook.test_import import FIXTURES, RESULTS

from stakewire.sportsbook.config import SportsbookConfig

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(sportsbook_url: str, tmp_path: Path) -> Run:
    """Runs one command and gives its exit code and both outputs."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STAKEWIRE_")},
        "STAKEWIRE_DATABASE_URL": sportsbook_url,
        "STAKEWIRE_DATA": str(tmp_path / "data"),
        "STAKEWIRE_MASTER_KEY": MASTER_KEY,
        "STAKEWIRE_EGRESS_ALLOW": "127.0.0.0/8",
    }

    def command(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stakewire", "sportsbook", *words],
            env={**environment, **settings},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return command


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_client_is_added_listed_changed_rotated_and_disabled(run: Run, tmp_path: Path) -> None:
    """The five variables of the contract come once; secrets are in no list afterwards."""
    profile = tmp_path / "profile.toml"
    profile.write_text('bet_timeout = "3s"\n')
    made = document(
        run(
            *("client", "add", "acme", "--callback-url", "http://127.0.0.1:9/cb", "--json"),
            *("--origin", "https://a.example", "--origin", "https://b.example"),
            *("--currency", "EUR", "--currency", "BTC", "--profile", str(profile)),
            STAKEWIRE_SPORTSBOOK_PUBLIC_URL="https://bets.example/",
        )
    )
    assert made["api_url"] == "https://bets.example"
    assert made["api_version"] == "v1"
    assert set(made) == {"name", "api_url", "api_version", "username", "password", "security_hash"}

    with_query = run("client", "set", "acme", "--callback-url", "http://127.0.0.1:9/cb?key=1")
    assert (with_query.returncode, "no query" in with_query.stderr) == (2, True)
    changed = document(run("client", "set", "acme", "--currency", "USD", "--json"))
    assert changed["callback_url"] == "http://127.0.0.1:9/cb"
    assert changed["currencies"] == ["USD"]
    assert changed["origins"] == ["https://a.example", "https://b.example"]

    rotated = run("client", "rotate", "acme", "--security-hash", "k" * 16, "--password")
    assert f"SECURITY_HASH={'k' * 16}" in rotated.stdout
    assert "PASSWORD=" in rotated.stdout

    assert document(run("client", "disable", "acme", "--json"))["state"] == "disabled"
    listed = run("client", "list", "--json")
    (client,) = document(listed)["clients"]
    assert (client["name"], client["state"], client["profile"]) == (
        "acme",
        "disabled",
        'bet_timeout = "3s"\n',
    )
    for secret in (made["password"], made["security_hash"], "k" * 16):
        assert secret not in listed.stdout


async def test_clients_are_told_the_address_of_the_sportsbook_that_runs(
    run: Run, sportsbook_url: str, tmp_path: Path
) -> None:
    """Whatever port it was given; a setting wins, and before the first start it is where one would start."""
    rotate = ("client", "rotate", "acme", "--json")
    add = ("client", "add", "acme", "--callback-url", "http://127.0.0.1:9/cb", "--json")
    assert document(run(*add))["api_url"] == "http://127.0.0.1:8081"
    config = SportsbookConfig(database_url=sportsbook_url, data_dir=tmp_path, master_key=MASTER_KEY)
    async with served(config) as address:
        assert document(await asyncio.to_thread(run, *rotate))["api_url"] == address
    assert document(run("client", "list", "--json"))["api_url"] == address
    named = run(*rotate, STAKEWIRE_SPORTSBOOK_PUBLIC_URL="https://bets.example/")
    assert document(named)["api_url"] == "https://bets.example"
    public = dataclasses.replace(config, public_url="https://book.example")
    async with served(public):
        assert "API_URL=https://book.example\n" in run("client", "list").stdout


def test_files_are_imported_matches_ruled_on_and_bad_rows_named(run: Run, tmp_path: Path) -> None:
    """Fixtures, one result by hand, the others by file, a correction and a void."""
    fixtures, results = tmp_path / "odds.csv", tmp_path / "results.csv"
    fixtures.write_text(FIXTURES, encoding="utf-8-sig")
    results.write_text(RESULTS)
    done = run("import", str(fixtures), "--kickoff-from", "2040-01-01T12:00Z")
    assert "4 fixtures: 3 added, 0 updated, 0 unchanged, 1 skipped" in done.stdout
    assert "odds.csv line 4: skipped: no price for 1x2 X" in done.stderr

    matches = document(run("match", "list", "--json"))["matches"]
    assert {match["settled"] for match in matches} == {None}
    assert "settled" not in run("match", "list").stdout
    assert matches[-1]["kickoff"] == "2040-01-01T12:00:00+00:00"
    first = str(matches[-1]["id"])
    ruled = document(run("match", "result", first, "0", "3", "--json"))
    assert (ruled["changed"], ruled["bets"], ruled["left"]) == (True, 0, 0)
    assert document(run("match", "list", "--json", "--state", "finished"))["matches"][0]["settled"] is True
    imported = document(run("import", str(results), "--json"))
    assert (imported["results"], imported["unchanged"], imported["unknown"]) == (1, 1, 1)
    assert [bad["line"] for bad in imported["skipped"]] == [4, 6]
    assert "ended 1-1 (corrected)" in run("match", "correct", first, "1", "1").stdout
    assert "is void" in run("match", "void", first).stdout
    assert run("match", "correct", first, "2", "2").returncode == 4


def test_a_past_season_begins_in_ten_minutes(run: Run, tmp_path: Path) -> None:
    """`--kickoff-from now` leaves time to bet on the first match too."""
    fixtures = tmp_path / "odds.csv"
    fixtures.write_text(FIXTURES)
    before = datetime.now(UTC).replace(microsecond=0)
    assert document(run("import", str(fixtures), "--kickoff-from", "now", "--json"))["started"] == 0
    first = document(run("match", "list", "--json"))["matches"][-1]["kickoff"]
    ahead = timedelta(minutes=10)
    assert before + ahead <= datetime.fromisoformat(first) <= datetime.now(UTC) + ahead


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("client", "add", "x", "--callback-url", "http://10.1.2.3/cb"), 5, "STAKEWIRE_EGRESS_ALLOW"),
        (("client", "add", "x", "--callback-url", "http://127.0.0.1/", "--currency", "ZZZ"), 2, "'ZZZ'"),
        (
            ("client", "add", "x", "--callback-url", "http://127.0.0.1:9/cb?key=1"),
            2,
            "no query and no fragment",
        ),
        (
            ("client", "add", "x", "--callback-url", "http://127.0.0.1:9/cb#top"),
            2,
            "no query and no fragment",
        ),
        (("client", "rotate", "nobody"), 3, "no client named 'nobody'"),
        (("client", "set", "nobody"), 2, "say what to change"),
        (("import", "no-such-file.csv"), 2, "cannot read no-such-file.csv"),
        (("match", "void", "77"), 3, "no match 77"),
        (("match", "result", "77", "1", "100"), 2, "0 to 99 goals"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_its_exit_code(
    run: Run, words: tuple[str, ...], code: int, sentence: str
) -> None:
    """No stack trace, on stderr for people and as one document for programs."""
    done = run(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    said = json.loads(run(*words, "--json").stdout)
    assert set(said) == {"error", "message"}
