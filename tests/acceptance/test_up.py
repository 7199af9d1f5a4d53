"""`stakewire up` as a newcomer meets it: everything runs, survives what dies, and stops without a trace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.acceptance.processes import Running, get, processes_of, stakewire, three_free_ports, wait_for

from stakewire.postgres.embedded import EmbeddedPostgres

READY = "Ctrl-C stops everything"


@dataclass(frozen=True)
class Demo:
    """Everything running in a folder, on three ports from `port` on."""

    running: Running
    folder: Path
    data: Path
    port: int


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """One that runs for all tests that leave it running."""
    folder = Path(tempfile.mkdtemp(prefix="stakewire-run-"))
    data, port = folder / "data", three_free_ports()
    with _start(folder, data, port) as running:
        running.wait_for_line(READY)
        yield Demo(running, folder, data, port)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def port() -> int:
    return three_free_ports()


@pytest.fixture
def data(folder: Path) -> Path:
    return folder / "data"


def _start(folder: Path, data: Path, port: int) -> Running:
    return Running("up", "--port", str(port), "--data", str(data), cwd=folder)


def _all_ready(port: int) -> bool:
    return all(get(f"http://127.0.0.1:{one}/health/ready")[0] == 200 for one in range(port, port + 3))


def _side(data: Path, name: str) -> int:
    """Process id of a side."""
    [line] = [line for line in processes_of(str(data)) if f" serve {name} " in line]
    return int(line.partition(":")[0])


def test_everything_runs_and_a_shell_beside_it_sees_the_same(demo: Demo) -> None:
    """Addresses and log-in are printed, all sides are ready, and a command leaves the database running."""
    for expected in (f"http://127.0.0.1:{demo.port} ", "alice / play-money", str(demo.data)):
        assert expected in demo.running.output
    assert _all_ready(demo.port)
    show = ("wallet", "player", "show", "alice", "--data", str(demo.data), "--json")
    shown = stakewire(*show, cwd=demo.folder)
    assert json.loads(shown.stdout)["accounts"][0]["balance"] == "100.00"
    assert _all_ready(demo.port)


def test_the_second_start_finds_everything_as_it_was(folder: Path, data: Path, port: int) -> None:
    """Signals end it without a trace; the first deposit is not made again; other ports may be chosen."""
    for first, number in ((port, signal.SIGINT), (three_free_ports(), signal.SIGTERM)):
        with _start(folder, data, first) as running:
            running.wait_for_line(READY)
            assert _all_ready(first)
            running.signal(number)
            assert running.wait() == 0
        assert f"stopped; the data is in {data}" in running.output
        wait_for(lambda: not processes_of(str(data)), f"no process left: {processes_of(str(data))}")
    with EmbeddedPostgres(data):
        history = stakewire("wallet", "history", "alice", "--data", str(data), "--json", cwd=folder)
        assert [item["kind"] for item in json.loads(history.stdout)["items"]] == ["deposit"]
        assert stakewire("verify", "--data", str(data), cwd=folder).returncode == 0


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_a_port_in_use_is_one_sentence(folder: Path, data: Path, port: int, offset: int) -> None:
    """Each of the three is named, with what to type; nothing was started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + offset))
        taken.listen()
        tried = stakewire("up", "--port", str(port), "--data", str(data), cwd=folder)
    assert tried.returncode == 7
    assert tried.stderr == (
        f"stakewire: port {port + offset} is in use; "
        "choose three others in a row with --port N (make run PORT=N)\n"
    )
    assert not (data / "postgres").exists()


def test_a_second_run_on_the_same_folder_is_one_sentence(demo: Demo) -> None:
    """The sentence names the folder, the process and the two flags; the first run goes on."""
    again = ("up", "--port", str(three_free_ports()), "--data", str(demo.data))
    tried = stakewire(*again, cwd=demo.folder)
    assert tried.returncode == 7
    [sentence] = tried.stderr.splitlines()
    assert f"runs on the data folder {demo.data} already (process {demo.running.process.pid})" in sentence
    assert "--data and --port" in sentence
    assert demo.running.process.poll() is None


def test_two_run_side_by_side(demo: Demo, folder: Path, data: Path) -> None:
    """With a folder and ports of its own, a second one shares nothing with the first."""
    other = three_free_ports()
    with _start(folder, data, other) as second:
        second.wait_for_line(READY)
        assert _all_ready(other)
        assert _all_ready(demo.port)


def test_it_runs_on_an_outside_database_too(folder: Path, data: Path, port: int, database_url: str) -> None:
    """Then no database is started; one that was not migrated would be refused by its sentence."""
    flags = ("--port", str(port), "--data", str(data), "--database-url", database_url)
    with Running("up", *flags, cwd=folder) as running:
        running.wait_for_line(READY)
        assert _all_ready(port)
        assert not (data / "postgres").exists()
        running.signal(signal.SIGINT)
        assert running.wait() == 0


@pytest.mark.parametrize("name", ["wallet", "sportsbook", "site"])
def test_a_side_that_is_killed_is_started_again(demo: Demo, name: str) -> None:
    """One line says that it ended and how, one that it is back."""
    os.kill(_side(demo.data, name), signal.SIGKILL)
    demo.running.wait_for_line(f"the {name} ended (SIGKILL); starting it again")
    demo.running.wait_for_line(f"the {name} is back")
    wait_for(lambda: _all_ready(demo.port), "all ready again")


def test_a_database_that_is_killed_is_started_again(demo: Demo) -> None:
    """The sides find it again by themselves."""
    pid = EmbeddedPostgres(demo.data).postmaster_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    demo.running.wait_for_line("PostgreSQL ended; it was started again")
    wait_for(lambda: _all_ready(demo.port), "all ready again")


def test_after_kill_9_of_up_its_sides_end_and_the_next_start_works(
    folder: Path, data: Path, port: int
) -> None:
    """On the same ports and folder, at once."""
    with _start(folder, data, port) as first:
        first.wait_for_line(READY)
        first.signal(signal.SIGKILL)
        first.wait()
    with _start(folder, data, port) as second:
        second.wait_for_line(READY)
        assert _all_ready(port)
        second.signal(signal.SIGINT)
        assert second.wait() == 0
    wait_for(lambda: not processes_of(str(data)), "no process left")


def test_ctrl_c_during_the_start_leaves_nothing_half_way(folder: Path, data: Path, port: int) -> None:
    """Whatever the moment, it ends, leaves no process, and the next start works."""
    for pause in (0.8, 1.6, 3.0):
        with _start(folder, data, port) as running:
            time.sleep(pause)  # the moment is the point of this test
            running.signal(signal.SIGINT)
            assert running.wait() in (0, -signal.SIGINT, 130)
        wait_for(lambda: not processes_of(str(data)), f"no process left: {processes_of(str(data))}")
    with _start(folder, data, port) as running:
        running.wait_for_line(READY)


def test_secrets_are_neither_in_arguments_nor_readable_by_others(demo: Demo) -> None:
    """Whoever may list processes or folders learns no token, password or key."""
    secrets = json.loads((demo.data / "demo.json").read_text()).values()
    lines = "\n".join(processes_of(str(demo.data)))
    assert all(secret not in lines for secret in secrets)
    for file in ("demo.json", "master.key"):
        assert (demo.data / file).stat().st_mode & 0o077 == 0
    assert all(secret not in log.read_text() for log in (demo.data / "log").iterdir() for secret in secrets)
