"""Readers of the files in `vectors/`: one published set of cases for every implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_vectors(file: Path) -> list[dict[str, Any]]:
    """The cases of one file, each with a `name`; what the other fields mean is told in the file's `about`.

    Raises:
        ValueError: the file is not JSON.
        KeyError: it has no `cases`.
    """
    cases: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["cases"]
    return cases


def body_of(case: dict[str, Any]) -> bytes:
    """The bytes of a case: `body_hex`, or the text of `body` in UTF-8."""
    if "body_hex" in case:
        return bytes.fromhex(case["body_hex"])
    text: str = case["body"]
    return text.encode()
