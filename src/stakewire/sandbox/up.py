"""`stakewire up`: a database, a wallet, a sportsbook and a site on one machine, until Ctrl-C.

The three sides are processes of their own, as in production, and meet on ports; this process seeds the
demo, starts them, starts again what dies, and stops all in order.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from stakewire.errors import ConfigError
from stakewire.money import Currencies
from stakewire.net.proxy import Network
from stakewire.net.sockets import bind
from stakewire.postgres.connect import Side, connected
from stakewire.postgres.crypto import Vault
from stakewire.postgres.embedded import EmbeddedPostgres, in_thread, keep_running
from stakewire.postgres.migrate import check, migrate
from stakewire.sandbox.children import Child, Command, Say
from stakewire.sandbox.demo import (
    CLIENT,
    CURRENCY,
    OPERATOR,
    PLAYERS,
    DemoSecrets,
    seed_sportsbook,
    seed_wallet,
)

HOST = "127.0.0.1"
LAST_RUN_SECONDS = 20.0  # how long processes of a run that was killed may hold their ports
IMPATIENT_SECONDS = 1.0  # one Ctrl-C can arrive twice, from the terminal and from make
_LOCK_FILE = "up.lock"

Watch = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpConfig:
    """What to run and where. Ports are `port` (site), `port + 1` (sportsbook), `port + 2` (wallet).

    Raises:
        ConfigError: the three ports do not fit.
    """

    data_dir: Path
    port: int = 8080
    database_urls: Mapping[Side, str | None] = field(default_factory=dict, repr=False)
    master_key: str | None = field(default=None, repr=False)
    egress_allow: Sequence[Network] = ()
    extra_currencies: Mapping[str, int] = field(default_factory=dict)
    time_zone: str | None = None
    config_file: Path | None = None  # read by the sides too; what is set here wins

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65533:
            raise ConfigError("--port must be between 1 and 65533: the two ports above it are used too")

    @property
    def site_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def sportsbook_url(self) -> str:
        return f"http://{HOST}:{self.port + 1}"

    @property
    def wallet_url(self) -> str:
        return f"http://{HOST}:{self.port + 2}"


async def run_up(config: UpConfig, *, say: Say, ready: Callable[[], None]) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP; `ready` is called once all sides answer.

    Raises:
        ConfigError: a port is in use, the data folder is in use, or a side cannot start.
        Unavailable: the database does not start.
    """
    children: list[Child] = []
    stop = _on_signals(children)
    everything = asyncio.create_task(_everything(config, children, say, ready))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({everything, stopping}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        # Ctrl-C came before our handlers were there. It asks for the same, and must not break the stop.
        stop.set()
    stopping.cancel()
    if not everything.done():
        say("stopping")
        everything.cancel()
        await asyncio.wait({everything})
    if not everything.cancelled():
        everything.result()


async def _everything(config: UpConfig, children: list[Child], say: Say, ready: Callable[[], None]) -> None:
    """Start in order, watch, and stop in the opposite order when cancelled or when a start fails."""
    async with AsyncExitStack() as stack:
        left_over = stack.enter_context(_claimed(config.data_dir))
        await _free_ports(config, say, patient=left_over)
        watches: list[Watch] = []
        addresses = await _databases(config, stack, watches, say)
        vault = Vault.from_settings(config.master_key, config.data_dir)
        demo = await _seed(config, addresses, vault)
        logs = config.data_dir / "log"
        logs.mkdir(exist_ok=True)
        say("starting the wallet, the sportsbook and the site")
        for command in _commands(config, addresses, demo):
            child = Child(command, log_file=logs / f"{command.name}.log", say=say)
            stack.push_async_callback(child.stop)
            children.append(child)
        await _all([child.start for child in children])
        ready()
        watches += [child.keep_running for child in children]
        await _all(watches)


async def _all(work: Sequence[Watch]) -> None:
    """Run all at once; the first that fails cancels the rest and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one())
    except* Exception as failed:
        raise failed.exceptions[0] from None


def _on_signals(children: Sequence[Child]) -> asyncio.Event:
    """An event that the first signal sets; a second one, a moment later, ends the children at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked_at = 0.0

    def asked() -> None:
        nonlocal asked_at
        if not stop.is_set():
            asked_at = loop.time()
            stop.set()
        elif loop.time() - asked_at > IMPATIENT_SECONDS:
            for child in children:
                child.kill()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked)
    return stop


@contextmanager
def _claimed(data_dir: Path) -> Iterator[bool]:
    """Hold the data folder; gives whether the last run was killed instead of stopped."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / _LOCK_FILE).open("a+")
    except OSError as error:
        raise ConfigError(f"the data folder {data_dir} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ConfigError(
                f"Stakewire runs on the data folder {data_dir} already (process {lock.read().strip()}); "
                "stop it first, or give this one a folder and ports of its own with --data and --port"
            ) from None
        lock.seek(0)
        left_over = bool(lock.read())
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield left_over
        lock.truncate(0)


async def _free_ports(config: UpConfig, say: Say, *, patient: bool) -> None:
    """Refuse ports in use; those of a run that was killed are waited for, as its processes are ending."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + (LAST_RUN_SECONDS if patient else 0)
    told = False
    for port in range(config.port, config.port + 3):
        while True:
            try:
                for sock in bind(HOST, port):
                    sock.close()
                break
            except ConfigError:
                if loop.time() >= give_up:
                    raise ConfigError(
                        f"port {port} is in use; choose three others in a row with --port N (make run PORT=N)"
                    ) from None
            if not told:
                say("waiting for the processes of the last run to end")
                told = True
            await asyncio.sleep(0.1)


async def _databases(
    config: UpConfig, stack: AsyncExitStack, watches: list[Watch], say: Say
) -> dict[Side, str]:
    """Start the embedded server if a side has no other database, and bring its schemas up to date."""
    addresses: dict[Side, str] = {}
    outside: dict[Side, str | None] = {
        side: config.database_urls.get(side) for side in ("wallet", "sportsbook")
    }
    if None in outside.values():
        say(f"starting PostgreSQL in {config.data_dir}")
        server = EmbeddedPostgres(config.data_dir)
        stack.push_async_callback(in_thread, server.stop)
        embedded = await in_thread(server.start)
        watches.append(partial(keep_running, server, say))
    for side, url in outside.items():
        addresses[side] = url or embedded
        async with connected(addresses[side], application_name="stakewire up") as conn:
            if problems := await check(conn, side):
                if url is not None:
                    raise ConfigError("; ".join(problems))
                await migrate(conn, side)
    return addresses


async def _seed(config: UpConfig, addresses: Mapping[Side, str], vault: Vault) -> DemoSecrets:
    demo = DemoSecrets.read_or_make(config.data_dir)
    currencies = Currencies.default().with_extra(config.extra_currencies)
    await seed_wallet(
        addresses["wallet"], demo, vault=vault, currencies=currencies, time_zone=config.time_zone
    )
    seeded = await seed_sportsbook(
        addresses["sportsbook"],
        demo,
        vault=vault,
        currencies=currencies,
        egress_allow=config.egress_allow,
        callback_url=f"{config.wallet_url}/callbacks/{OPERATOR}",
        origins=[config.site_url, f"http://localhost:{config.port}"],
    )
    if seeded != demo:
        seeded.write(config.data_dir)
    return seeded


def _commands(config: UpConfig, addresses: Mapping[Side, str], demo: DemoSecrets) -> list[Command]:
    """The three sides in the order of starting; secrets by the environment, as everybody sees arguments."""
    common = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "STAKEWIRE_DATA": str(config.data_dir),
        "STAKEWIRE_EGRESS_ALLOW": ",".join(str(network) for network in config.egress_allow),
    }
    if config.config_file is not None:
        common["STAKEWIRE_CONFIG"] = str(config.config_file)
    if config.master_key is not None:
        common["STAKEWIRE_MASTER_KEY"] = config.master_key
    wallet = {
        "STAKEWIRE_WALLET_DATABASE_URL": addresses["wallet"],
        "STAKEWIRE_ADMIN_TOKEN": demo.admin_token,
    }
    sportsbook = {"STAKEWIRE_SPORTSBOOK_DATABASE_URL": addresses["sportsbook"]}
    site = {
        "STAKEWIRE_SITE_SPORTSBOOK_URL": config.sportsbook_url,
        "STAKEWIRE_SITE_SPORTSBOOK_USERNAME": CLIENT,
        "STAKEWIRE_SITE_SPORTSBOOK_PASSWORD": demo.client_password,
        "STAKEWIRE_SITE_WALLET_URL": config.wallet_url,
        "STAKEWIRE_SITE_WALLET_ADMIN_TOKEN": demo.admin_token,
        "STAKEWIRE_SITE_PLAYERS": ",".join(f"{name}={password}" for name, password in PLAYERS.items()),
        "STAKEWIRE_SITE_SESSION_SECRET": demo.session_secret,
        "STAKEWIRE_SITE_CURRENCY": CURRENCY,
    }
    return [
        _command("wallet", config.port + 2, common | wallet),
        _command("sportsbook", config.port + 1, common | sportsbook, "--simulate"),
        _command("site", config.port, common | site),
    ]


def _command(name: str, port: int, environment: Mapping[str, str], *more: str) -> Command:
    arguments = ["serve", name, "--host", HOST, "--port", str(port), "--stop-with-stdin", *more]
    return Command(name, arguments, environment)


def describe(config: UpConfig) -> dict[str, object]:
    """Addresses and log-in of the running demo, as one JSON document."""
    user, password = next(iter(PLAYERS.items()))
    return {
        "site": config.site_url,
        "sportsbook": config.sportsbook_url,
        "wallet": config.wallet_url,
        "login": {"user": user, "password": password},
        "data": str(config.data_dir),
        "secrets": str(config.data_dir / "demo.json"),
    }
