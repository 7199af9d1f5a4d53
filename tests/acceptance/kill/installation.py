"""A whole installation as real processes on a real PostgreSQL, any part of which can be killed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from stakewire.postgres.embedded import EmbeddedPostgres

OPERATOR = "chain"
DIRECT = "direct"
READY_SECONDS = 60


@dataclass(kw_only=True)
class Installation:
    """PostgreSQL, a wallet with two workers and a sportsbook. Ports are free ones of this machine."""

    folder: Path
    wallet_port: int
    sportsbook_port: int
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    admin_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    master_key: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(32)).decode())
    kills: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._postgres = EmbeddedPostgres(self.folder / "data", settings={"shared_buffers": "64MB"})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.client: dict[str, Any] = {}

    @property
    def wallet_url(self) -> str:
        return f"http://127.0.0.1:{self.wallet_port}"

    @property
    def sportsbook_url(self) -> str:
        return f"http://127.0.0.1:{self.sportsbook_port}"

    @property
    def dsn(self) -> str:
        return self._postgres.dsn

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "STAKEWIRE_DATA": str(self.folder / "data"),
            "STAKEWIRE_DATABASE_URL": self._postgres.dsn,
            "STAKEWIRE_ADMIN_TOKEN": self.admin_token,
            "STAKEWIRE_MASTER_KEY": self.master_key,
            "STAKEWIRE_EGRESS_ALLOW": "127.0.0.0/8",
            "STAKEWIRE_SPORTSBOOK_BETS_PER_MINUTE": "1000000",
        }

    async def start(self) -> None:
        """Bring everything up, with one operator for direct traffic and one for the sportsbook."""
        self._postgres.start()
        await self.command("db", "migrate")
        await self.command("wallet", "operator", "add", DIRECT, "--security-hash", self.secret)
        await self.command("wallet", "operator", "add", OPERATOR, "--security-hash", self.secret)
        self.client = await self.command(
            "sportsbook", "client", "add", "casino", "--security-hash", self.secret, "--currency", "EUR",
            "--callback-url", f"{self.wallet_url}/callbacks/{OPERATOR}",
        )  # fmt: skip
        await self.start_wallet()
        await self.start_sportsbook()

    async def start_wallet(self) -> None:
        await self._serve("wallet", self.wallet_url, "--port", str(self.wallet_port), "--workers", "2")

    async def start_sportsbook(self) -> None:
        await self._serve("sportsbook", self.sportsbook_url, "--port", str(self.sportsbook_port))

    async def command(self, *words: str) -> dict[str, Any]:
        """Run a shell command with `--json`; its document. Raises CommandFailed for any other exit than 0."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stakewire", *words, "--json",
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        if process.returncode:
            raise CommandFailed(
                f"{' '.join(words)} ended with {process.returncode}: {out.decode()}{err.decode()}"
            )
        document: dict[str, Any] = json.loads(out)
        return document

    async def kill_and_restart(self, what: str, rng: random.Random) -> None:
        """`kill -9` of one part, and its start again, as a supervisor would."""
        self.kills[what] = self.kills.get(what, 0) + 1
        if what == "wallet worker":
            workers = [
                p for p in psutil.Process(self._processes["wallet"].pid).children() if p.status() != "zombie"
            ]
            rng.choice(workers).kill()
        elif what == "postgres":
            await asyncio.to_thread(self._kill_postgres)
        else:
            self._kill_group(what)
            await (self.start_wallet() if what == "wallet" else self.start_sportsbook())

    def stop(self) -> None:
        """End what this object started, by process id."""
        for name in list(self._processes):
            self._kill_group(name)
        self._postgres.stop()

    def _kill_postgres(self) -> None:
        pid = self._postgres.postmaster_pid()
        assert pid is not None, "PostgreSQL runs"
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(pid)
            family = [*postmaster.children(recursive=True), postmaster]
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=10)
        self._postgres.restart()

    async def _serve(self, side: str, url: str, *flags: str) -> None:
        """Start a side until it is ready; again if it ends, while a killed one's workers hold the port."""
        async with aiohttp.ClientSession() as http, asyncio.timeout(READY_SECONDS):
            self._spawn(side, *flags)
            while not await _is_ready(http, url):
                if self._processes[side].poll() is not None:
                    self._spawn(side, *flags)
                await asyncio.sleep(0.05)

    def _spawn(self, side: str, *flags: str) -> None:
        with (self.folder / f"{side}.log").open("ab") as log:
            self._processes[side] = subprocess.Popen(
                [sys.executable, "-m", "stakewire", "serve", side, *flags],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _kill_group(self, name: str) -> None:
        process = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with http.get(f"{url}/health/ready", timeout=aiohttp.ClientTimeout(5)) as answer:
            return answer.status == 200
    return False


class CommandFailed(AssertionError):
    """A shell command did not do what it was asked."""


@contextlib.contextmanager
def running_in(folder: Path, ports: tuple[int, int]) -> Iterator[Installation]:
    """An installation that is not started yet; everything of it has ended when the block has."""
    made = Installation(folder=folder, wallet_port=ports[0], sportsbook_port=ports[1])
    try:
        yield made
    finally:
        made.stop()
