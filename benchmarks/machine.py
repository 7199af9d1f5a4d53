"""What every benchmark needs: the machine's description, child processes, medians, the load generator."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent


def describe_machine() -> str:
    """One line: processor, cores, memory, kernel, Python."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{model}, {psutil.cpu_count()} cores, {memory_gib:.0f} GiB, Linux {platform.release()}, "
        f"CPython {platform.python_version()}"
    )


def versions(*packages: str) -> str:
    """`name version` of each installed package, for the report's foot."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


@dataclass(frozen=True, slots=True)
class Series:
    """The rounds of one figure; quoted as the median, with the spread beside it."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def show(self, digits: int = 0) -> str:
        return f"{self.median:,.{digits}f} ({min(self.values):,.{digits}f} to {max(self.values):,.{digits}f})"


def progress(text: str) -> None:
    print(f"  .. {text}", file=sys.stderr, flush=True)


def build_loadgen(folder: Path) -> Path:
    """Compile the load generator with the machine's C compiler, or say that one is needed."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit(
            "make bench needs a C compiler for its load generator: apt-get install gcc libc6-dev"
        )
    binary = folder / "loadgen"
    subprocess.run([compiler, "-O2", "-o", str(binary), str(HERE / "loadgen.c")], check=True)
    return binary


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What `loadgen` measured; rates in requests per second, times in milliseconds."""

    per_second: float
    sent: int
    ok: int
    insufficient: int
    other_errors: int
    not_200: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    generator_us_per_request: float
    exhausted: bool


def run_load(
    loadgen: Path,
    port: int,
    connections: int,
    requests: Path,
    *,
    warmup: float,
    seconds: float,
    rate: float = 0,
) -> Load:
    """Send prepared requests to a local port and return what was measured.

    Raises:
        SystemExit: the server broke a connection or the requests ran out; neither is a measurement.
    """
    argv = [
        str(loadgen),
        "127.0.0.1",
        str(port),
        str(connections),
        str(requests),
        str(warmup),
        str(seconds),
        str(rate),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"load on port {port} failed: {done.stderr.strip() or done.stdout.strip()}")
    return Load(**json.loads(done.stdout))


@contextlib.contextmanager
def child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    ready_url: str | None = None,
    cwd: Path = ROOT,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process group for the length of a block that begins when `ready_url` answers 200."""
    log = open(os.environ.get("STAKEWIRE_BENCH_LOG", os.devnull), "ab")  # noqa: SIM115 - handed to the child
    process = subprocess.Popen(
        argv, env={**os.environ, **(env or {})}, cwd=cwd, stdout=log, stderr=log, start_new_session=True
    )
    try:
        if ready_url:
            wait_for(ready_url, process)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args} ended with {process.returncode} before {url} answered")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer within {seconds:.0f} s")


def memory_mb(pid: int) -> list[float]:
    """Resident memory of a process's children (its workers), largest first, in MB; its own if it has none."""
    parent = psutil.Process(pid)
    family = parent.children(recursive=True) or [parent]
    return sorted((p.memory_info().rss / 1e6 for p in family), reverse=True)
