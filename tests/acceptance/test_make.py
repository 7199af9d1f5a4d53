"""`make`: what is missing on the machine is named in one sentence, and finished steps are not done again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "find", "touch", "make", "cat", "env", "rm", "id", "mkdir")
STEPS = (
    ".venv/bin/python",
    ".venv/.uv-installed",
    ".venv/.synced",
    ".venv/.stakewire-installed",
    "web/node_modules/.installed",
    "src/stakewire/static/.built",
)


class Machine:
    """A clone whose machine has only the tools that a test puts there; each tool notes that it was called."""

    def __init__(self, folder: Path) -> None:
        self._clone, self._bin = folder / "clone", folder / "bin"
        for file in (
            "Makefile",
            "pyproject.toml",
            "requirements/uv.txt",
            "requirements/dev.txt",
            "web/package-lock.json",
        ):
            (self._clone / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, self._clone / file)
        self._bin.mkdir()
        for tool in TOOLS:
            real = shutil.which(tool)
            assert real, tool
            (self._bin / tool).symlink_to(real)
        self._calls = folder / "calls"
        self._calls.touch()

    def has(self, tool: str, script: str = "") -> None:
        """Put a tool there that does what `script` says."""
        path = self._bin / tool
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/bash\necho "{tool} $*" >> {self._calls}\n{script}\n')
        path.chmod(0o755)

    def did(self, last: str) -> None:
        """Mark the steps up to `last` as done, each newer than the one before."""
        for number, step in enumerate(STEPS[: STEPS.index(last) + 1]):
            path = self._clone / step
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (4_000_000_000 + number,) * 2)

    def make(self, target: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._bin / "make", target],
            cwd=self._clone,
            env={"PATH": str(self._bin), "HOME": str(self._clone)},
            capture_output=True,
            text=True,
        )

    @property
    def calls(self) -> list[str]:
        """The tools called so far, with their arguments."""
        return self._calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def _sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that is not make's own."""
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    return line


def test_no_python_or_an_old_one(machine: Machine) -> None:
    """The sentence says the version, and how to name another."""
    assert "needs Python 3.11 or newer" in _sentence(machine.make("setup"))
    machine.has("python3", "exit 1")
    assert "make PYTHON=python3.12" in _sentence(machine.make("setup"))


def test_a_python_without_venv(machine: Machine) -> None:
    """As Debian ships it."""
    machine.has("python3", '[[ "$*" != *ensurepip* ]]')
    assert "apt-get install python3-venv" in _sentence(machine.make("setup"))


def test_no_node_or_an_old_one(machine: Machine) -> None:
    """The sentence says the version needed, and the one that is there."""
    machine.did(".venv/.stakewire-installed")
    assert "install nodejs (20.19 or newer) and npm" in _sentence(machine.make("setup"))
    machine.has("npm")
    machine.has("node", 'if [ "$1" = --version ]; then echo v18.20.4; else exit 1; fi')
    assert "need Node 20.19 or newer; this is v18.20.4" in _sentence(machine.make("setup"))


def test_chromium_comes_by_apt_get_where_it_is_missing(machine: Machine) -> None:
    """With sudo for those who are not root; where it is there nothing is called."""
    machine.has("id", "echo 1000")
    machine.has("apt-get")
    machine.has("sudo", '"$@"')
    assert machine.make("chromium").returncode == 0
    assert [call for call in machine.calls if call.startswith("apt-get install")]
    assert all("sudo " + call in machine.calls for call in machine.calls if call == "apt-get update -qq")
    before = len(machine.calls)
    machine.has("chromium")
    assert machine.make("chromium").returncode == 0
    assert len(machine.calls) == before


def test_chromium_that_cannot_come_is_one_sentence(machine: Machine) -> None:
    """Without apt-get, without the right to use it, or when it fails."""
    assert "install it so that the command 'chromium' is found" in _sentence(machine.make("chromium"))
    machine.has("apt-get", "exit 100")
    machine.has("id", "echo 1000")
    assert "apt-get needs root, and there is no sudo" in _sentence(machine.make("chromium"))
    machine.has("id", "echo 0")
    assert "install it so that the command 'chromium' is found" in _sentence(machine.make("chromium"))


def test_finished_steps_are_not_done_again(machine: Machine) -> None:
    """The second `make run` goes straight to the program, with the ports and the folder it was given."""
    machine.did(STEPS[-1])
    for tool in ("python3", "node", "npm"):
        machine.has(tool, "exit 1")
    assert machine.make("setup").returncode == 0
    assert machine.calls == []


def test_ci_runs_make_test_without_a_terminal() -> None:
    """`.ci/run` calls `make test` and nothing else, from wherever it is started."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec make test </dev/null"


def test_locks_name_versions_and_hashes_and_no_addresses() -> None:
    """So that they serve whatever registry a user has."""
    for lock in ("uv", "run", "dev"):
        text = (ROOT / "requirements" / f"{lock}.txt").read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "--index" not in text and "--find-links" not in text
    pages = (ROOT / "web" / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in pages
    assert '"resolved"' not in pages
