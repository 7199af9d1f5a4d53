"""Named queries are looked up by name, and a careless file is refused when it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stakewire.postgres.queries import Queries


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package `sql_for_tests` to put files into."""
    folder = tmp_path / "sql_for_tests"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    sys.modules.pop("sql_for_tests", None)


def _load(package: Path, text: str) -> Queries:
    (package / "q.sql").write_text(text)
    return Queries("sql_for_tests", "q.sql")


def test_a_query_is_found_by_attribute_and_by_key(package: Path) -> None:
    """Both give the SQL with its own comments; the names come in the file's order."""
    queries = _load(package, "-- all about b\n\n-- name: b\n-- Why.\nSELECT 1\n-- name: a\nSELECT 2;\n")
    assert queries.b == "-- Why.\nSELECT 1"
    assert queries["a"] == "SELECT 2;"
    assert list(queries) == ["b", "a"]


def test_an_unknown_name_says_which_file_was_asked(package: Path) -> None:
    """A misspelt name fails where it is used, with the file in the message."""
    queries = _load(package, "-- name: a\nSELECT 1")
    with pytest.raises(AttributeError, match=r"q\.sql has no query named aa"):
        _ = queries.aa


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT 1;\n-- name: a\nSELECT 2", "before the first"),
        ("-- name: a\nSELECT 1\n-- name: a\nSELECT 2", "named twice"),
        ("-- name: a\n-- only words\n-- name: b\nSELECT 2", "empty"),
    ],
)
def test_a_careless_file_is_refused(package: Path, text: str, reason: str) -> None:
    """SQL that nobody could look up, or that hides another query, is an error at load time."""
    with pytest.raises(ValueError, match=reason):
        _load(package, text)
