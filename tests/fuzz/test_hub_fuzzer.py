"""Claims about the hub's readers under a coverage-guided fuzzer, for a bounded number of inputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip(
    "atheris", reason="atheris has no wheel for this platform; the property tests cover the same claims"
)

FUZZER = Path(__file__).with_name("hub_fuzzer.py")


def fuzz(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer in a process of its own: it ends the process it runs in."""
    corpus = folder / "corpus"
    corpus.mkdir()
    command = [sys.executable, str(FUZZER), str(corpus), "-seed=1", "-max_len=300"]
    command += [f"-artifact_prefix={folder}/", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_no_input_breaks_a_claim(tmp_path: Path) -> None:
    """20,000 inputs grown from the vectors give the documented errors, the same wherever they are cut."""
    done = fuzz(tmp_path, "-runs=20000")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "DONE" in done.stderr


def test_the_fuzzer_finds_a_planted_bug(tmp_path: Path) -> None:
    """Without the check of text, the fuzzer stops at a frame that is no UTF-8: its silence counts."""
    done = fuzz(tmp_path, "-runs=20000", "--planted")
    assert done.returncode != 0
    assert "AssertionError" in done.stdout + done.stderr
    assert list(tmp_path.glob("crash-*"))
