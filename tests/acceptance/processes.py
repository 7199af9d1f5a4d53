"""Real `stakewire` processes for the acceptance tests: started, read, signalled, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WAIT_SECONDS = 60.0
PYTHON = sys.executable


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without any STAKEWIRE_ setting, so that a developer's shell changes no test."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STAKEWIRE_")}
    return clean | {"PYTHONUNBUFFERED": "1"} | dict(more or {})


def stakewire(
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = (PYTHON, "-m", "stakewire"),
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*program, *arguments],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )


def three_free_ports() -> int:
    """The first of three ports in a row that are free now, far from where a neighbouring process looks."""
    for first in range(20_000 + os.getpid() * 97 % 10_000, 60_000, 7):
        try:
            for port in range(first, first + 3):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no three free ports in a row")


def get(url: str, *, timeout: float = 5) -> tuple[int, Any]:
    """Status and JSON body of a GET."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def wait_for(condition: Any, what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Poll until `condition()` is true, and give its value; exceptions of the network count as not yet."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            if value := condition():
                return value
        except OSError:
            pass
        assert time.monotonic() < give_up, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


def processes_of(marker: str) -> list[str]:
    """Command lines of the living processes that name `marker`, a folder of the test's own."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environ = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if line and (marker in line or f"STAKEWIRE_DATA={marker}" in environ):
                found.append(f"{folder.name}: {line}")
    return found


class Running:
    """A command that keeps running; its output goes to a file, so that no pipe can block it."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = (PYTHON, "-m", "stakewire"),
    ) -> None:
        self._file = cwd / f"output-{time.monotonic_ns()}.txt"
        with self._file.open("wb") as output:
            self.process = subprocess.Popen(
                [*program, *arguments],
                cwd=cwd,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._file.read_text(errors="replace")

    def wait_for_line(self, words: str, seconds: float = WAIT_SECONDS) -> str:
        """The first line with these words, once it is printed; fails if the process ends before."""

        def line() -> str | None:
            ended = self.process.poll() is not None
            for one in self.output.splitlines():
                if words in one:
                    return one
            assert not ended, f"ended with {self.process.returncode} before {words!r}:\n{self.output}"
            return None

        return str(wait_for(line, f"{words!r} in:\n{self.output}", seconds))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = WAIT_SECONDS) -> int:
        return self.process.wait(seconds)
