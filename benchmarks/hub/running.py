"""One measurement: a server on one core, the reader on another, and what the reader saw."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from benchmarks.hub import nchan
from benchmarks.machine import HERE, ROOT, child

SERVER_CORE, READER_CORE = "0", "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What `reader.c` prints of all clients together; times in milliseconds unless named otherwise.

    Attributes:
        missed: versions that a client was not sent between two that it was.
        behind: clients that did not have the newest version but one when the time was over.
        back, back_seconds: how many of the clients that were cut had the current state again, the last when.
    """

    clients: int
    connect_seconds: float
    seconds: float
    delivered: int
    wire_bytes: int
    missed: int
    behind: int
    mean_ms: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_seconds: float
    rss_empty_kb: float
    rss_kb: float
    reader_busy: float
    back: int
    back_seconds: float

    @property
    def cpu_us(self) -> float:
        """CPU time of the server for each delivered message, in microseconds."""
        return self.cpu_seconds * 1e6 / max(1, self.delivered)

    @property
    def core_percent(self) -> float:
        """Share of its core that the server was busy."""
        return 100 * self.cpu_seconds / self.seconds

    @property
    def rate(self) -> float:
        """Messages delivered per second."""
        return self.delivered / self.seconds

    @property
    def message_bytes(self) -> float:
        """Of one message, with its frame's head."""
        return self.wire_bytes / max(1, self.delivered)

    @property
    def kb_per_client(self) -> float:
        """What the server's memory grew by, for each client."""
        return (self.rss_kb - self.rss_empty_kb) * 1.024 / self.clients


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server: which one, and how the reader has to speak to it."""

    name: str
    words: tuple[str, ...] = ()
    reader: tuple[str, ...] = ()


HUB = Contestant("server", (), ("hub=1",))
PORTABLE_HUB = Contestant("server", ("write",), ("hub=1",))
NCHAN = Contestant("nchan")
AIOSIGNALR = Contestant("aiosignalr", (), ("hub=1", "binary=1"))
STARLETTE = Contestant("starlette")
WEBSOCKETS = Contestant("websockets")
BARE = Contestant("bare")


class Stage:
    """Runs contestants, each on a port of its own, in turn."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader, self._bare = build(folder, "reader"), build(folder, "bare")

    def measure(self, contestant: Contestant, *, every: float, count: int, **options: float | str) -> Seen:
        """Let the contestant publish every so many seconds to `count` readers; see `reader.c` for `options`.

        Raises:
            SystemExit: something arrived that should not have, or a connection was lost.
        """
        port = _free_port()
        with self._serving(contestant, port, every, count) as pids:
            said = {"port": port, "count": count, "pids": ",".join(map(str, pids)), **options}
            argv = ["taskset", "-c", READER_CORE, str(self._reader), *contestant.reader]
            done = subprocess.run(
                [*argv, *(f"{key}={value}" for key, value in said.items())],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise SystemExit(f"{contestant.name}: {done.stderr.strip()}")
        return Seen(**json.loads(done.stdout))

    @contextlib.contextmanager
    def _serving(self, contestant: Contestant, port: int, every: float, count: int) -> Iterator[list[int]]:
        pinned = ["taskset", "-c", SERVER_CORE]
        python = [sys.executable, "-m"]
        with contextlib.ExitStack() as stack:
            if contestant is NCHAN:
                argv = [*pinned, *nchan.nginx(self._folder, port)]
            elif contestant is BARE:
                argv = [*pinned, str(self._bare), str(port), str(count)]
            elif contestant.name == "server":
                argv = [*pinned, *python, "benchmarks.hub.server", str(port), str(every), *contestant.words]
            else:
                argv = [*pinned, *python, "benchmarks.hub.peers", contestant.name, str(port), str(every)]
            process = stack.enter_context(child(argv, cwd=ROOT))
            _wait_for_port(port, process)
            if contestant is NCHAN:
                publisher = [*python, "benchmarks.hub.nchan", str(port), str(every)]
                stack.enter_context(child(["taskset", "-c", READER_CORE, *publisher], cwd=ROOT))
            family = psutil.Process(process.pid).children(recursive=True)
            yield [process.pid, *(one.pid for one in family)]


def build(folder: Path, name: str) -> Path:
    """Compile one of the C programs with the machine's C compiler, or say that one is needed."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("make bench needs a C compiler for its C programs: apt-get install gcc libc6-dev")
    binary = folder / name
    source = HERE / "hub" / f"{name}.c"
    subprocess.run([compiler, "-O2", "-o", str(binary), str(source), "-l:libz.so.1"], check=True)
    return binary


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args} ended with {process.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listened on port {port} within {seconds:.0f} s")
