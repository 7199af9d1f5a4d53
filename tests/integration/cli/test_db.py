"""`stakewire db` on the embedded and on an outside database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stakewire.postgres.connect import SIDES, connected
from stakewire.postgres.embedded import EmbeddedPostgres
from stakewire.postgres.migrate import migrations


def _db(*arguments: str, cwd: Path) -> tuple[int, Any, str]:
    """Exit code, JSON document and stderr of a `stakewire db` command."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STAKEWIRE_")}
    done = subprocess.run(
        [sys.executable, "-m", "stakewire", "db", *arguments, "--json"],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture
async def empty(postgres: EmbeddedPostgres) -> str:
    """Address of a database without any schema of ours."""
    async with connected(postgres.dsn_of("postgres"), application_name="tests") as conn:
        await conn.execute("DROP DATABASE IF EXISTS db_empty")
        await conn.execute("CREATE DATABASE db_empty TEMPLATE template0")
    return postgres.dsn_of("db_empty")


def test_check_names_what_is_missing_and_migrate_mends_it(empty: str, tmp_path: Path) -> None:
    """First three problems (exit 7), then every file applied once, then nothing to do and nothing wrong."""
    code, doc, _ = _db("check", "--database-url", empty, cwd=tmp_path)
    assert (code, len(doc["problems"])) == (7, 3)
    code, doc, _ = _db("migrate", "--database-url", empty, cwd=tmp_path)
    assert code == 0
    assert [(one["side"], one["number"]) for one in doc["applied"]] == [
        (side, migration.number) for side in SIDES for migration in migrations(side)
    ]
    assert _db("migrate", "--database-url", empty, cwd=tmp_path) == (0, {"applied": []}, "")
    assert _db("check", "--database-url", empty, cwd=tmp_path) == (0, {"problems": []}, "")


def test_one_side_alone(empty: str, tmp_path: Path) -> None:
    """For installations with a database each."""
    code, doc, _ = _db("migrate", "--side", "wallet", "--database-url", empty, cwd=tmp_path)
    assert (code, {one["side"] for one in doc["applied"]}) == (0, {"wallet"})
    assert _db("check", "--side", "wallet", "--database-url", empty, cwd=tmp_path)[0] == 0
    assert _db("check", "--side", "sportsbook", "--database-url", empty, cwd=tmp_path)[0] == 7


async def test_check_also_says_what_would_lose_money(empty: str, tmp_path: Path) -> None:
    """Beside the schema's problems."""
    async with connected(empty, application_name="tests") as conn:
        await conn.execute("ALTER DATABASE db_empty SET synchronous_commit = off")
    code, doc, _ = _db("check", "--database-url", empty, cwd=tmp_path)
    assert code == 7
    assert any("synchronous_commit=off" in problem for problem in doc["problems"])


def test_a_copy_restores_into_an_empty_folder(folder: Path) -> None:
    """Players, money, sealed secrets and all; ids given out after the copy was taken are not given again."""
    first, second = ("--data", str(folder / "first")), ("--data", str(folder / "second"))
    with EmbeddedPostgres(folder / "first"):  # runs throughout, as it does beside `up`
        _stakewire("wallet", "operator", "add", "supplier", *first, cwd=folder)
        account = ("--currency", "EUR", "--deposit", "10.00")
        _stakewire("wallet", "player", "add", "alice", *account, *first, cwd=folder)
        assert _db("dump", "copy", *first, cwd=folder)[0] == 0
        assert (folder / "copy").stat().st_mode & 0o077 == 0
        later = _stakewire("wallet", "player", "deposit", "alice", "1.00", "EUR", *first, cwd=folder)
        code, doc, _ = _db("dump", "copy", *first, cwd=folder)
        assert (code, doc["error"]) == (4, "FILE_EXISTS")
    shutil.copytree(folder / "first", folder / "second", ignore=shutil.ignore_patterns("postgres*"))
    with EmbeddedPostgres(folder / "second"):
        assert _db("restore", "copy", *second, cwd=folder)[0] == 0
        shown = _stakewire("wallet", "player", "show", "alice", *second, cwd=folder)
        assert shown["accounts"][0]["balance"] == "10.00"
        again = _stakewire("wallet", "player", "deposit", "alice", "1.00", "EUR", *second, cwd=folder)
        assert int(again["id"]) > int(later["id"])
        _stakewire("verify", *second, cwd=folder)
        assert _db("restore", "copy", *second, cwd=folder)[0] == 4


def test_migrate_and_restore_make_a_data_folder(folder: Path) -> None:
    """And a copy of one, restored into a folder that is not there, is the same."""
    first, second = ("--data", str(folder / "first")), ("--data", str(folder / "second"))
    assert _db("migrate", *first, cwd=folder)[0] == 0
    _stakewire("wallet", "player", "add", "alice", "--currency", "EUR", *first, cwd=folder)
    assert _db("dump", "copy", *first, cwd=folder)[0] == 0
    assert _db("restore", "copy", *second, cwd=folder)[0] == 0
    _stakewire("wallet", "player", "show", "alice", *second, cwd=folder)


def _stakewire(*arguments: str, cwd: Path) -> Any:
    """The document of a command that must succeed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STAKEWIRE_")}
    done = subprocess.run(
        [sys.executable, "-m", "stakewire", *arguments, "--json"],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
