"""The embedded server: shared by those who use one folder, and back after a kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stakewire.errors import ConfigError, Unavailable
from stakewire.postgres.connect import connected
from stakewire.postgres.embedded import EmbeddedPostgres

SMALL = {"shared_buffers": "16MB", "max_connections": "20", "min_wal_size": "32MB", "max_wal_size": "64MB"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of its own; a server that a failed test left there is stopped."""
    path = Path(tempfile.mkdtemp(prefix="stakewire-test-"))
    yield path
    with EmbeddedPostgres(path, settings=SMALL):
        pass
    shutil.rmtree(path)


def _server(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, settings=SMALL)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_last_user_to_leave_stops_the_server(folder: Path) -> None:
    """Whoever started it: it runs as long as somebody uses it, and no longer."""
    first, second = _server(folder), _server(folder)
    assert first.start() == second.start()
    assert first.stop() is False
    assert second.is_running()
    assert second.stop() is True
    assert not second.is_running()


async def test_a_server_stopped_immediately_loses_nothing_acknowledged(folder: Path) -> None:
    """It writes nothing down at its end, so it recovers at its next start."""
    server = _server(folder)
    async with connected(server.start(), application_name="tests") as conn:
        await conn.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert server.stop(immediately=True) is True
    assert not server.is_running()
    with _server(folder) as again:
        async with connected(again.dsn, application_name="tests") as conn:
            assert await conn.fetchval("SELECT number FROM kept") == 7


def test_many_that_start_at_once_share_one_server(folder: Path) -> None:
    """Even on an empty folder."""
    servers = [_server(folder) for _ in range(4)]
    with ThreadPoolExecutor(4) as starts:
        assert len(set(starts.map(EmbeddedPostgres.start, servers))) == 1
    assert [server.stop() for server in servers] == [False, False, False, True]


def test_a_user_that_was_killed_does_not_keep_the_server_alive(folder: Path) -> None:
    """The kernel drops its lock, so the next one to leave stops the server."""
    program = (
        "import sys, time; from pathlib import Path\n"
        "from stakewire.postgres.embedded import EmbeddedPostgres\n"
        "EmbeddedPostgres(Path(sys.argv[1])).start(); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "up\n"
        with _server(folder) as server:
            user.kill()
            user.wait()
            assert server.is_running()
    assert not _server(folder).is_running()


async def test_what_was_committed_is_there_after_the_server_was_killed(folder: Path) -> None:
    """`kill -9` of the server, then `restart`: the address stays and the row is there."""
    server = _server(folder)
    dsn = server.start()
    async with connected(dsn, application_name="tests") as conn:
        await conn.execute("CREATE TABLE kept (x int); INSERT INTO kept VALUES (1)")
    pid = server.postmaster_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert server.restart() is True
    assert server.restart() is False
    async with connected(dsn, application_name="tests") as conn:
        assert await conn.fetchval("SELECT x FROM kept") == 1
    server.stop()


def test_a_start_that_was_killed_half_way_is_done_again(folder: Path) -> None:
    """Only a finished cluster is moved to its place; the half made one is thrown away."""
    (folder / "postgres.new").mkdir()
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    with _server(folder) as server:
        assert server.is_running()
    assert not (folder / "postgres.new").exists()


def test_a_lock_file_whose_process_id_is_another_programs_does_not_prevent_the_start(folder: Path) -> None:
    """After a crash of the machine the id may have been given to anybody, for instance to us."""
    with _server(folder):
        lock = (folder / "postgres" / "postmaster.pid").read_text()
    _, _, rest = lock.partition("\n")
    owner = (folder / "postgres").stat().st_uid
    bystander = subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd="/", user=owner)
    try:
        (folder / "postgres" / "postmaster.pid").write_text(f"{bystander.pid}\n{rest}")
        with _server(folder) as server:
            assert server.is_running()
    finally:
        bystander.communicate()


def test_a_folder_of_another_version_is_named_and_left_alone(folder: Path) -> None:
    """The sentence says both versions and where to read on."""
    with _server(folder):
        pass
    version = folder / "postgres" / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(ConfigError, match=r"made by PostgreSQL 16, this program carries 18.*upgrade\.md"):
        _server(folder).start()
    version.write_text("18\n")


def test_a_server_that_does_not_start_is_quoted(folder: Path) -> None:
    """Its own last words are in the sentence."""
    with pytest.raises(Unavailable, match=r"does not start: .*shared_bufers"):
        EmbeddedPostgres(folder, settings={**SMALL, "shared_bufers": "1MB"}).start()


def test_a_path_too_long_for_a_socket_still_works(folder: Path) -> None:
    """The socket then lies in a short private folder."""
    deep = folder / ("long" * 30)
    with _server(deep) as server:
        assert server.is_running()
        assert "stakewire-" in server.dsn
        assert len(server.dsn) < 100
        sockets = Path(server.dsn.partition("host=")[2])
    assert not sockets.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours_is_one_sentence(folder: Path) -> None:
    """The sentence names the folder and the flag."""
    folder.chmod(0o500)
    with pytest.raises(ConfigError, match="--data"):
        _server(folder).start()
    folder.chmod(0o700)


def test_a_stopped_server_leaves_nothing_behind(folder: Path) -> None:
    """No process, no lock file, no socket."""
    server = _server(folder)
    server.start()
    pid = server.postmaster_pid()
    server.stop()
    assert pid is not None
    while _runs(pid):  # a killed process is reaped by init
        time.sleep(0.01)
    assert not (folder / "postgres" / "postmaster.pid").exists()
