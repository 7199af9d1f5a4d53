"""A callback worker in a process of its own, to be killed: `worker_process.py DSN JSON`.

JSON: {"clients": {"1": {"url", "secret"}}, "timeout", "lease", "name"}; prints `ready` once it works.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from ipaddress import ip_network

from prometheus_client import CollectorRegistry

from stakewire.clock import SystemClock
from stakewire.delivery.breaker import BreakerPolicy
from stakewire.net.callback_client import CallbackClient
from stakewire.net.egress import EgressGuard
from stakewire.postgres.connect import app_role, open_pool
from stakewire.sportsbook.delivery.build import SESSION, build_delivery
from stakewire.sportsbook.delivery.lane import LaneLimits
from stakewire.sportsbook.delivery.targets import ClientTarget
from stakewire.wire.sportsbook.signing import Secret


class FixedTargets:
    """Clients that never change."""

    def __init__(self, targets: dict[int, ClientTarget]) -> None:
        self._targets = targets

    async def target(self, client_id: int) -> ClientTarget | None:
        return self._targets.get(client_id)


async def main(dsn: str, given: dict[str, object]) -> None:
    clients = given["clients"]
    assert isinstance(clients, dict)
    targets = {
        int(key): ClientTarget(
            client_id=int(key), name=key, callback_url=client["url"], secret=Secret(client["secret"])
        )
        for key, client in clients.items()
    }
    clock = SystemClock()
    pool = await open_pool(
        dsn,
        schema="sportsbook",
        role=app_role("sportsbook"),
        max_size=6,
        application_name="worker",
        **SESSION,
    )
    guard = EgressGuard([ip_network("127.0.0.0/8")])
    poster = CallbackClient(guard, max_connections_per_destination=16, clock=clock)
    delivery = build_delivery(
        pool=pool,
        targets=FixedTargets(targets),
        poster=poster,
        bet_poster=poster,
        clock=clock,
        chance=random.Random(1).random,
        worker=str(given["name"]),
        concurrency=16,
        registry=CollectorRegistry(),
        limits=LaneLimits(
            breaker=BreakerPolicy(first_window=16, widest_window=16),
            timeout=float(str(given["timeout"])),
            lease=float(str(given["lease"])),
        ),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("ready", flush=True)
    await delivery.run(stop)
    await poster.close()
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
