"""A platform's own application that mounts the wallet's callbacks; prints its port and the prefix."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount

from stakewire.clock import SystemClock
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.sockets import bind
from stakewire.wallet.app import open_wallet
from stakewire.wallet.config import WalletConfig

PREFIX = "/money"


async def main(database_url: str, data: str, master_key: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    config = WalletConfig(
        database_url=database_url,
        data_dir=Path(data),
        master_key=master_key,
        wrong_signatures_per_minute=1_000_000,
    )
    async with open_wallet(config) as wallet:
        server = HttpServer(
            app=Starlette(routes=[Mount(PREFIX, app=wallet.callbacks)]),
            find_hot=lambda method, path: None,
            limits=HttpLimits(),
            trusted_proxies=(),
            clock=SystemClock(),
        )
        (sock,) = bind("127.0.0.1", 0)
        await server.start(sock)
        print(sock.getsockname()[1], PREFIX, flush=True)
        await stop.wait()
        await server.stop(5)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
