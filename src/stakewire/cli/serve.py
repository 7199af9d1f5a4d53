"""`stakewire serve`: run one side until it is told to stop.

One worker serves in this process. Several workers are processes started from the same command line,
with the sockets bound here and the database started here; this process then only looks after them.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stakewire.cli.common import Context, command, database_address
from stakewire.settings import Listener, Service, Settings

if TYPE_CHECKING:
    import socket
    import ssl

    from pydantic import SecretStr

    from stakewire.sandbox.site_config import SiteConfig
    from stakewire.sportsbook.config import SportsbookConfig
    from stakewire.wallet.config import WalletConfig

app = typer.Typer(no_args_is_help=True, help="Run one side.")

Name = Literal["wallet", "sportsbook", "site"]
Ready = Callable[[], None]
Serve = Callable[[str, "list[socket.socket]", asyncio.Event, Ready], Awaitable[None]]

Port = Annotated[
    int | None, typer.Option("--port", metavar="N", help="Port to listen on; 0 takes a free one.")
]
Host = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", help="Processes that answer.")]
AdminPort = Annotated[
    int | None,
    typer.Option(
        "--admin-port", metavar="N", help="Own port for the admin API and metrics, not for players."
    ),
]
TlsCert = Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="PEM certificate chain.")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="PEM private key.")]
TrustedProxy = Annotated[
    list[str] | None,
    typer.Option("--trusted-proxy", metavar="CIDR", help="Proxy whose X-Forwarded-* is believed."),
]
PublicUrl = Annotated[
    str | None, typer.Option("--public-url", metavar="URL", help="Address under which browsers reach it.")
]
Simulate = Annotated[bool | None, typer.Option("--simulate", help="Invent matches and play them.")]
StopWithStdin = Annotated[
    bool, typer.Option("--stop-with-stdin", hidden=True, help="Stop when standard input ends.")
]


@dataclass(frozen=True, slots=True)
class Side:
    """What is run: its name, where it listens, and how to run one worker on a database address."""

    name: Name
    listener: Listener
    serve: Serve
    workers: int = 1
    admin_port: int | None = None


@command(app, "wallet")
async def wallet(
    ctx: Context,
    port: Port = None,
    host: Host = None,
    workers: Workers = None,
    admin_port: AdminPort = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    trusted_proxy: TrustedProxy = None,
    stop_with_stdin: StopWithStdin = False,
) -> None:
    """Run the wallet: callbacks, admin API, health and metrics. The admin token is STAKEWIRE_ADMIN_TOKEN."""
    from stakewire.wallet.app import serve

    flags = _flags(port, host, workers, tls_cert, tls_key, trusted_proxy)
    ctx = ctx.with_flags(wallet={**flags, "admin_port": admin_port})
    wallet_config(ctx.settings, "")  # wrong settings are named before anything is started

    async def run(address: str, sockets: list[socket.socket], stop: asyncio.Event, ready: Ready) -> None:
        await serve(wallet_config(ctx.settings, address), sockets, stop, ready=lambda _: ready())

    await _run(ctx, _service("wallet", ctx.settings.wallet, run), stop_with_stdin)


@command(app, "sportsbook")
async def sportsbook(
    ctx: Context,
    port: Port = None,
    host: Host = None,
    workers: Workers = None,
    admin_port: AdminPort = None,
    public_url: PublicUrl = None,
    simulate: Simulate = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    trusted_proxy: TrustedProxy = None,
    stop_with_stdin: StopWithStdin = False,
) -> None:
    """Run the sportsbook: the clients' API, the players' page, the callback worker, health and metrics."""
    from stakewire.sportsbook.app import serve

    flags = _flags(port, host, workers, tls_cert, tls_key, trusted_proxy)
    own = {"admin_port": admin_port, "public_url": public_url, "simulate": simulate}
    ctx = ctx.with_flags(sportsbook={**flags, **own})
    sportsbook_config(ctx.settings, "")

    async def run(address: str, sockets: list[socket.socket], stop: asyncio.Event, ready: Ready) -> None:
        await serve(sportsbook_config(ctx.settings, address), sockets, stop, ready=lambda _: ready())

    await _run(ctx, _service("sportsbook", ctx.settings.sportsbook, run), stop_with_stdin)


@command(app, "site")
async def site(
    ctx: Context,
    port: Port = None,
    host: Host = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    trusted_proxy: TrustedProxy = None,
    stop_with_stdin: StopWithStdin = False,
) -> None:
    """Run the demo platform's site; it reaches the two sides by the STAKEWIRE_SITE_... settings."""
    from stakewire.sandbox.site import serve

    ctx = ctx.with_flags(site=_flags(port, host, None, tls_cert, tls_key, trusted_proxy))
    config = site_config(ctx.settings)

    async def run(_: str, sockets: list[socket.socket], stop: asyncio.Event, ready: Ready) -> None:
        await serve(config, sockets, stop, ready, tls=_tls(config.tls_cert, config.tls_key))

    await _run(ctx, Side("site", ctx.settings.site, run), stop_with_stdin)


# -- settings into the sides' own configurations ------------------------------------------------


def wallet_config(settings: Settings, database_url: str) -> WalletConfig:
    """What `stakewire serve wallet` runs with; raises ConfigError where that could not work."""
    from stakewire.wallet.config import WalletConfig

    own = settings.wallet
    return WalletConfig(
        **_common(settings, own),
        database_url=database_url,
        workers=own.workers,
        admin_port=own.admin_port,
        admin_token=_secret(settings.admin_token),
        time_zone=own.time_zone,
        wrong_signatures_per_minute=own.wrong_signatures_per_minute,
    )


def sportsbook_config(settings: Settings, database_url: str) -> SportsbookConfig:
    """What `stakewire serve sportsbook` runs with; raises ConfigError where that could not work."""
    from stakewire.sportsbook.config import SportsbookConfig

    own = settings.sportsbook
    return SportsbookConfig(
        **_common(settings, own),
        database_url=database_url,
        public_url=own.public_url,
        egress_allow=settings.egress_allow,
        simulate=own.simulate,
        auth_attempts_per_minute=own.auth_attempts_per_minute,
        bets_per_minute=own.bets_per_minute,
        max_payout=own.max_payout,
        callback_concurrency=own.callback_concurrency,
    )


def site_config(settings: Settings) -> SiteConfig:
    """What `stakewire serve site` runs with; raises ConfigError where that could not work."""
    from stakewire.sandbox.site_config import SiteConfig

    own = settings.site
    return SiteConfig(
        sportsbook_url=own.sportsbook_url,
        sportsbook_username=own.sportsbook_username,
        sportsbook_password=own.sportsbook_password.get_secret_value(),
        wallet_url=own.wallet_url,
        wallet_admin_token=own.wallet_admin_token.get_secret_value(),
        players={name: password.get_secret_value() for name, password in own.players.items()},
        session_secret=own.session_secret.get_secret_value(),
        currency=own.currency,
        host=own.host,
        port=own.port,
        tls_cert=own.tls_cert,
        tls_key=own.tls_key,
        trusted_proxies=own.trusted_proxies,
    )


def _service(name: Name, own: Service, serve: Serve) -> Side:
    return Side(name, own, serve, own.workers, own.admin_port)


def _common(settings: Settings, listener: Listener) -> dict[str, Any]:
    return {
        "data_dir": settings.data,
        "master_key": _secret(settings.master_key),
        "extra_currencies": settings.currencies,
        "host": listener.host,
        "port": listener.port,
        "tls_cert": listener.tls_cert,
        "tls_key": listener.tls_key,
        "trusted_proxies": listener.trusted_proxies,
    }


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    from stakewire.net.tls import server_context

    return None if cert is None or key is None else server_context(cert, key)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


def _flags(
    port: int | None,
    host: str | None,
    workers: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    trusted_proxy: list[str] | None,
) -> dict[str, Any]:
    return {
        "port": port,
        "host": host,
        "workers": workers,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "trusted_proxies": trusted_proxy or None,
    }


# -- running ------------------------------------------------------------------------------------


async def _run(ctx: Context, side: Side, stop_with_stdin: bool) -> None:
    """Run the side as a worker of another process, or as the process that was started by hand."""
    from stakewire.net.logs import configure
    from stakewire.net.workers import this_worker

    configure(level=ctx.settings.log_level)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = this_worker()
    if worker is not None:
        worker.stop_with_parent(stop)
        address = ctx.settings.side_database_url(side.name) if side.name != "site" else None
        await side.serve(address or "", worker.sockets, stop, worker.ready)
        return
    if stop_with_stdin:
        await _stop_with_stdin(stop)
    sockets = _bind(side)
    async with _database(ctx.settings, side) as address:
        if side.workers == 1:
            await side.serve(address, sockets[0], stop, _announce(ctx, side, sockets[0]))
        else:
            await _look_after_workers(ctx, side, sockets, stop, address)


def _bind(side: Side) -> list[list[socket.socket]]:
    """Each worker's sockets: the public one, and behind it the admin one if there is one."""
    from stakewire.net.sockets import bind

    host = side.listener.host
    doors = [bind(host, side.listener.port, side.workers)]
    if side.admin_port is not None:
        doors.append(bind(host, side.admin_port, side.workers))
    return [list(own) for own in zip(*doors, strict=True)]


@asynccontextmanager
async def _database(settings: Settings, side: Side) -> AsyncIterator[str]:
    if side.name == "site":
        yield ""
        return
    async with database_address(settings, side.name, make=True, watch=True) as address:
        yield address


def _announce(ctx: Context, side: Side, sockets: list[socket.socket]) -> Ready:
    """Prints the one line that says that the side is ready."""
    from stakewire.net.sockets import origin

    address = origin(sockets[0], tls=side.listener.tls_cert is not None)

    def ready() -> None:
        ctx.out({"ready": side.name, "address": address}, f"stakewire {side.name} ready on {address}")

    return ready


async def _look_after_workers(
    ctx: Context, side: Side, sockets: list[list[socket.socket]], stop: asyncio.Event, address: str
) -> None:
    from stakewire.clock import SystemClock
    from stakewire.net.metrics import forget_worker, prepare_folder
    from stakewire.net.workers import run_workers

    counts = ctx.settings.data.absolute() / "metrics" / f"{side.name}-{side.listener.port}"
    code = await run_workers(
        ["-m", "stakewire", *sys.argv[1:]],
        sockets,
        stop=stop,
        clock=SystemClock(),
        on_ready=_announce(ctx, side, sockets[0]),
        on_exit=lambda pid: forget_worker(counts, pid),
        environment={**prepare_folder(counts), f"STAKEWIRE_{side.name.upper()}_DATABASE_URL": address},
    )
    if code:
        raise typer.Exit(code)


async def _stop_with_stdin(stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends: our parent holds it, so it ends with our parent."""

    class End(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stop.set()

    await asyncio.get_running_loop().connect_read_pipe(End, sys.stdin)
