"""The processes that `stakewire up` keeps running: started, started again when they die, stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from stakewire.errors import ConfigError, Unavailable

READY_SECONDS = 60.0
STOP_SECONDS = 15.0  # a side answers what is in flight within its own, shorter, grace
STEADY_SECONDS = 30.0  # whoever ran this long starts again without a wait
RESTART_WAITS = (0.2, 0.5, 1.0, 2.0, 5.0)
LOG_BYTES = 5_000_000  # per file; one older file is kept beside it

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Command:
    """One side to run: arguments after `python -m stakewire`; secrets travel in `environment` only."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)


class Child:
    """One process kept running; prints nothing itself but what `say` is told.

    It is started in a session of its own, so that Ctrl-C reaches it through us, in our order. Its
    standard input is a pipe that we hold: when we die, however we die, it reads the end and stops.
    """

    def __init__(self, command: Command, *, log_file: Path, say: Say) -> None:
        self.name = command.name
        self._command = command
        self._say = say
        self._log = _bounded_log(command.name, log_file)
        self._last_words: deque[str] = deque(maxlen=20)
        self._process: Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Process id of the present incarnation."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start and wait for the ready line.

        Raises:
            ConfigError: it ended instead; the message is its own last sentence.
            Unavailable: it is not ready in time.
        """
        self._ready.clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stakewire", *self._command.arguments,
            stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True,
            env=dict(self._command.environment), limit=1 << 20,
        )  # fmt: skip
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(self._process.stdout, self._note_ready)),
            asyncio.create_task(self._read(self._process.stderr, self._last_words.append)),
        ]
        ready = asyncio.create_task(self._ready.wait())
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait({ready, ended}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                return
            if not ended.done():
                raise Unavailable(
                    f"the {self.name} is not ready after {READY_SECONDS:.0f} s; see {self._log_path()}"
                )
            await self._drain()
            raise ConfigError(f"the {self.name} did not start: {self._reason()}")
        finally:
            ready.cancel()
            ended.cancel()

    async def keep_running(self) -> None:
        """Start it again, with growing waits, whenever it ends; returns once `stop` was called."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stopping.is_set():
            assert self._process is not None
            began = loop.time()
            await self._process.wait()
            await self._drain()
            if self._stopping.is_set():
                return
            failures = 0 if loop.time() - began > STEADY_SECONDS else failures + 1
            self._say(f"the {self.name} ended ({self._how()}); starting it again")
            await asyncio.sleep(RESTART_WAITS[min(failures, len(RESTART_WAITS) - 1)])
            if self._stopping.is_set():
                return
            try:
                await self.start()
                self._say(f"the {self.name} is back")
            except (ConfigError, Unavailable) as error:
                self._say(error.message)
                self.kill()

    async def stop(self) -> None:
        """Ask it to finish what is in flight; end it if it does not."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                self._say(f"the {self.name} does not stop; ending it")
                self.kill()
                await process.wait()
        await self._drain()
        self._log.handlers[0].close()

    def kill(self) -> None:
        """End it and its workers at once."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _note_ready(self, line: str) -> None:
        if " ready on " in line:
            self._ready.set()

    async def _read(self, stream: asyncio.StreamReader, each: Callable[[str], None]) -> None:
        """Take lines as they come, keep them in the log, hand them on; a monstrous line is cut, not fatal."""
        while True:
            try:
                line = await stream.readline()
            except ValueError:
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._log.info("%s", text)
            each(text)

    async def _drain(self) -> None:
        """Read what it said before it ended; its own children may hold the pipes open, so not for long."""
        if self._readers:
            await asyncio.wait(self._readers, timeout=1)
        for reader in self._readers:
            reader.cancel()

    def _how(self) -> str:
        code = self._process.returncode if self._process else None
        if code is None or code >= 0:
            return f"exit code {code}"
        return signal.Signals(-code).name

    def _reason(self) -> str:
        for line in reversed(self._last_words):
            if line.startswith("stakewire: "):
                return line.removeprefix("stakewire: ")
        return f"{self._last_words[-1] if self._last_words else self._how()} (see {self._log_path()})"

    def _log_path(self) -> str:
        handler = self._log.handlers[0]
        assert isinstance(handler, RotatingFileHandler)
        return handler.baseFilename


def _bounded_log(name: str, file: Path) -> logging.Logger:
    """What the child prints, in a file that cannot fill the disk; the child formats, we only keep."""
    logger = logging.Logger(f"stakewire.sandbox.{name}")
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    return logger
