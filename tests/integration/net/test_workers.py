"""Sockets and worker processes: one port, many processes, none lost for long."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from stakewire.errors import ConfigError
from stakewire.net.sockets import bind, origin, raise_open_files_limit
from stakewire.net.workers import this_worker


def test_port_in_use_is_one_sentence() -> None:
    """A port that somebody listens on is refused with its number, for one worker and for many."""
    (first,) = bind("127.0.0.1", 0)
    first.listen()
    port = first.getsockname()[1]
    for workers in (1, 3):
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is in use"):
            bind("127.0.0.1", port, workers)
    assert origin(first) == f"http://127.0.0.1:{port}"
    first.close()


def test_port_shared_by_a_forgotten_server_is_in_use() -> None:
    """SO_REUSEPORT on both sides does not hide an older server on the same port."""
    older = bind("127.0.0.1", 0, 2)
    for sock in older:
        sock.listen()
    with pytest.raises(ConfigError, match="in use"):
        bind("127.0.0.1", older[0].getsockname()[1], 2)
    for sock in older:
        sock.close()


def test_workers_share_a_free_port() -> None:
    """Port 0 with several workers: one socket each, the same port."""
    sockets = bind("127.0.0.1", 0, 3)
    assert len({sock.getsockname() for sock in sockets}) == 1
    for sock in sockets:
        sock.close()


def test_impossible_addresses_are_one_sentence() -> None:
    """An address of another machine, and a name that does not exist, are ConfigErrors."""
    for host in ("192.0.2.1", "no.such.host.invalid"):
        with pytest.raises(ConfigError, match=f"cannot listen on {host}"):
            bind(host, 0)


def test_open_files_limit_is_lifted_as_far_as_allowed() -> None:
    """The limit never sinks, whatever is wanted."""
    assert raise_open_files_limit(1) >= 1


def test_ordinary_process_is_no_worker() -> None:
    """Without a parent that says so, there is no worker."""
    assert this_worker({}) is None


WORKER = """
import asyncio, os, signal, sys
from stakewire.net.workers import this_worker

async def main():
    worker = this_worker()
    stop = asyncio.Event()
    worker.stop_with_parent(stop)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async def answer(reader, writer):
        writer.write(b"%d %d\\n" % (worker.index, os.getpid()))
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(answer, sock=worker.sockets[0])
    worker.ready()
    await stop.wait()
    server.close()

if sys.argv[1] == "fail":
    print("the database is missing", file=sys.stderr)
    sys.exit(7)
asyncio.run(main())
"""

PARENT = """
import asyncio, os, signal, sys
from stakewire.clock import SystemClock
from stakewire.net.sockets import bind
from stakewire.net.workers import run_workers

async def main():
    sockets = bind("127.0.0.1", 0, 2)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ready = lambda: print(sockets[0].getsockname()[1], flush=True)
    return await run_workers(sys.argv[1:], [[sock] for sock in sockets], stop=stop, clock=SystemClock(),
                             on_ready=ready, grace_seconds=10)

sys.exit(asyncio.run(main()))
"""


async def start(tmp_path: Path, how: str) -> asyncio.subprocess.Process:
    """A parent process with two workers."""
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "parent.py").write_text(PARENT)
    return await asyncio.create_subprocess_exec(
        sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "worker.py"), how,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ask(port: int) -> tuple[int, int]:
    """Index and pid of the worker that takes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    line = await reader.readline()
    writer.close()
    index, pid = line.split()
    return int(index), int(pid)


async def all_pids(port: int) -> dict[int, int]:
    """Both workers' pids, asked until both have answered."""
    pids: dict[int, int] = {}
    while len(pids) < 2:
        index, pid = await ask(port)
        pids[index] = pid
    return pids


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
async def family(tmp_path: Path) -> Any:
    process = await start(tmp_path, "serve")
    assert process.stdout is not None
    yield process, int(await process.stdout.readline())
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def test_killed_worker_comes_back_and_no_connection_is_refused(family: Any) -> None:
    """kill -9 of one worker: its port goes on answering, and a new process takes its place."""
    _, port = family
    before = await all_pids(port)
    os.kill(before[0], signal.SIGKILL)
    async with asyncio.timeout(20):
        while (now := await all_pids(port)) == before or now[0] == before[0]:
            pass
    assert now[1] == before[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop_ends_the_workers_and_succeeds(family: Any, number: signal.Signals) -> None:
    """SIGTERM or Ctrl-C: the workers end, then the parent, with code 0."""
    process, port = family
    pids = await all_pids(port)
    process.send_signal(number)
    assert await process.wait() == 0
    assert not any(alive(pid) for pid in pids.values())


async def test_workers_follow_a_parent_that_was_killed(family: Any, until: Any) -> None:
    """kill -9 of the parent leaves no orphans that hold the port."""
    process, port = family
    pids = await all_pids(port)
    process.kill()
    await process.wait()
    await until(lambda: not any(running(pid) for pid in pids.values()))
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", port)) != 0


def running(pid: int) -> bool:
    """Alive and not a zombie that nobody collects."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_worker_that_cannot_start_ends_all_with_its_code(tmp_path: Path) -> None:
    """A configuration error is not restarted for ever: its code is the command's, its sentence on stderr."""
    process = await start(tmp_path, "fail")
    out, err = await process.communicate()
    assert process.returncode == ConfigError.exit_code
    assert out == b"" and b"the database is missing" in err
