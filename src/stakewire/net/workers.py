"""Several processes behind one port: a parent that binds, starts, restarts and stops them.

The parent keeps every worker's sockets open. While a worker is restarted its connections wait in the
socket's backlog; none is refused. A worker ends by itself when its parent is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from stakewire.clock import Clock
from stakewire.errors import ConfigError

_VARIABLE = "STAKEWIRE_WORKER"  # index:ready fd:parent fd:socket fds
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0
_HEALTHY_SECONDS = 30.0

log = structlog.get_logger("stakewire.net")


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker process got from its parent."""

    index: int
    sockets: list[socket.socket]
    ready_fd: int
    parent_fd: int

    def ready(self) -> None:
        """Tell the parent that this worker serves."""
        os.write(self.ready_fd, b"1")
        os.close(self.ready_fd)

    def stop_with_parent(self, stop: asyncio.Event) -> None:
        """Set `stop` when the parent is gone, however it ended."""
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(self.parent_fd)
            stop.set()

        loop.add_reader(self.parent_fd, gone)


def this_worker(environ: Mapping[str, str] = os.environ) -> Worker | None:
    """This process as a worker; None if it was not started by `run_workers`. Call it once."""
    text = environ.get(_VARIABLE)
    if text is None:
        return None
    index, ready, parent, *fds = (int(part) for part in text.split(":"))
    for fd in (ready, parent, *fds):
        os.set_inheritable(fd, False)
    return Worker(index, [socket.socket(fileno=fd) for fd in fds], ready, parent)


async def run_workers(
    arguments: Sequence[str],
    sockets: Sequence[Sequence[socket.socket]],
    *,
    stop: asyncio.Event,
    clock: Clock,
    on_ready: Callable[[], None],
    on_exit: Callable[[int], None] = lambda pid: None,
    environment: Mapping[str, str] | None = None,
    grace_seconds: float = 15.0,
) -> int:
    """Run `python ARGUMENTS` once per entry of `sockets` until `stop` is set; return the exit code.

    A worker that dies is started again, after a wait that doubles up to 10 s and is forgotten once it
    has lived 30 s. A worker that ends with ConfigError's exit code before it was ever ready ends all: its
    sentence is on stderr already. `on_ready` is called once, when all workers serve; `on_exit` with the
    pid of each one that ended. At the stop workers get SIGTERM, and SIGKILL after `grace_seconds`; that
    SIGTERM and SIGINT set `stop` is for the caller to arrange.
    """
    family = _Family(
        list(arguments), clock=clock, on_ready=on_ready, on_exit=on_exit, grace_seconds=grace_seconds
    )
    family.environment = {**os.environ, **(environment or {})}
    family.missing = len(sockets)
    parent_end, family.parent_fd = _pipe()
    try:
        lanes = [asyncio.create_task(family.lane(i, own, stop)) for i, own in enumerate(sockets)]
        codes = await asyncio.gather(*lanes)
    finally:
        os.close(parent_end)
        os.close(family.parent_fd)
    return max(codes)


def _pipe() -> tuple[int, int]:
    """Write end and read end; the parent keeps the write end, so that its death closes it."""
    read, write = os.pipe()
    return write, read


class _Family:
    """The workers of one parent."""

    environment: Mapping[str, str]
    parent_fd: int
    missing: int

    def __init__(
        self,
        arguments: list[str],
        *,
        clock: Clock,
        on_ready: Callable[[], None],
        on_exit: Callable[[int], None],
        grace_seconds: float,
    ) -> None:
        self._arguments = arguments
        self._clock = clock
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._grace_seconds = grace_seconds

    async def lane(self, index: int, sockets: Sequence[socket.socket], stop: asyncio.Event) -> int:
        """Keep one worker running; return 0 at the stop, or the code of a worker that cannot run at all."""
        wait = _FIRST_WAIT
        ever_ready = False
        while not stop.is_set():
            began = self._clock.monotonic()
            process, ready = await self._start(index, sockets)
            ready_task = asyncio.create_task(_read_ready(ready))
            ended = asyncio.create_task(process.wait())
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({ready_task, ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if ready_task.done() and ready_task.result() and not ever_ready:
                    ever_ready = True
                    self._one_ready()
                await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    await self._end(process, ended)
            finally:
                ready_task.cancel()
                stopping.cancel()
                if process.returncode is None:
                    process.kill()
                self._on_exit(process.pid)
            code = ended.result()
            if stop.is_set():
                break
            if code == ConfigError.exit_code and not ever_ready:
                stop.set()
                return code
            if self._clock.monotonic() - began >= _HEALTHY_SECONDS:
                wait = _FIRST_WAIT
            log.error("worker ended and is started again", worker=index, code=code, wait_seconds=wait)
            await _sleep_unless(stop, wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        return 0

    async def _start(
        self, index: int, sockets: Sequence[socket.socket]
    ) -> tuple[asyncio.subprocess.Process, int]:
        ready_write, ready_read = _pipe()
        fds = (ready_write, self.parent_fd, *(sock.fileno() for sock in sockets))
        environment = dict(self.environment)
        environment[_VARIABLE] = ":".join(str(number) for number in (index, *fds))
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._arguments,
                env=environment,
                pass_fds=fds,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the parent, which stops its workers in order
            )
        except BaseException:
            os.close(ready_read)
            raise
        finally:
            os.close(ready_write)
        return process, ready_read

    async def _end(self, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
        _signal(process, signal.SIGTERM)
        done, _ = await asyncio.wait({ended}, timeout=self._grace_seconds)
        if not done:
            log.error("worker did not stop in time and is killed", pid=process.pid)
            _signal(process, signal.SIGKILL)
            await ended

    def _one_ready(self) -> None:
        self.missing -= 1
        if self.missing == 0:
            self._on_ready()


async def _read_ready(fd: int) -> bool:
    """Wait until a worker says that it is ready (true) or ends without a word."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        await readable.wait()
        return os.read(fd, 1) == b"1"
    finally:
        loop.remove_reader(fd)
        os.close(fd)


async def _sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
