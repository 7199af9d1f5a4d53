"""A real `nats-server` (Debian's package) for tests: started, killed, ended by its process id."""

from __future__ import annotations

import shutil
import socket
import subprocess
from types import TracebackType
from typing import Self

from tests.acceptance.processes import wait_for


class NatsServer:
    """One server on a port of its own, kept over a restart."""

    def __init__(self) -> None:
        self.program = shutil.which("nats-server") or "/usr/sbin/nats-server"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self._process = subprocess.Popen(
            [self.program, "-a", "127.0.0.1", "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers, "nats-server takes connections", 20)

    def kill(self) -> None:
        """End it without a word to its clients."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1) as knock:
            return knock.recv(4) == b"INFO"
