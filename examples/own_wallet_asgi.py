"""A platform with its own wallet mounts the callbacks into its ASGI application, here a Starlette one.

    python examples/own_wallet_asgi.py 9002

`app` runs on any ASGI server (`uvicorn own_wallet_asgi:app`); this file brings Stakewire's own.
"""

from __future__ import annotations

import asyncio
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from own_wallet_store import SqliteWallet
from stakewire.clock import SystemClock
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.sockets import bind, origin
from stakewire.wallet.library_asgi import callback_app
from stakewire.wire.sportsbook.signing import Secret

SECRETS = [Secret("my-own-wallet-hash")]  # yours comes from your vault
wallet = SqliteWallet(sys.argv[2] if __name__ == "__main__" and len(sys.argv) > 2 else ":memory:")
wallet.open_account("alice", "EUR", 100_00)


async def balance(request: Request) -> JSONResponse:
    """A route of the platform's own."""
    return JSONResponse({"balance": str(wallet.balance(request.path_params["user_id"], "EUR"))})


app = Starlette(
    routes=[
        Route("/players/{user_id}", balance),
        Mount("/callbacks", app=callback_app(wallet, SECRETS)),
    ]
)


async def main(port: int) -> None:
    """Serve until interrupted."""
    server = HttpServer(
        app=app,
        find_hot=lambda method, path: None,
        limits=HttpLimits(),
        trusted_proxies=(),
        clock=SystemClock(),
    )
    (sock,) = bind("127.0.0.1", port)
    await server.start(sock)
    print(f"own wallet ready on {origin(sock)}/callbacks", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9002))
