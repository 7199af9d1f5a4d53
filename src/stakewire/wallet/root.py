"""Which part of the wallet answers a request that is not hot: callbacks, admin API, health, metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from stakewire.net.asgi import exception_handlers
from stakewire.net.health import HealthCheck, health_routes
from stakewire.net.http import AsgiApp, Receive, Scope, Send
from stakewire.net.metrics import metrics_route
from stakewire.wallet.admin.operations import PREFIX

CALLBACKS = "/callbacks/"
METRICS = "/metrics"


@dataclass(frozen=True, slots=True)
class Scrape:
    """The metrics, and what brings them up to this moment before Prometheus reads them."""

    registry: CollectorRegistry
    update: Callable[[], Awaitable[None]]


class RootApp:
    """One listener's ASGI app; a part that is not given is not there (404)."""

    def __init__(
        self,
        checks: Mapping[str, HealthCheck],
        *,
        callbacks: AsgiApp | None = None,
        admin: AsgiApp | None = None,
        metrics: Scrape | None = None,
    ) -> None:
        routes = health_routes(checks)
        if metrics is not None:
            routes.append(metrics_route(metrics.registry, METRICS))
        self._rest = Starlette(routes=routes, exception_handlers=exception_handlers())
        self._rest.router.redirect_slashes = False  # a path is there, or it is not
        self._callbacks = callbacks
        self._admin = admin
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on by the beginning of its path."""
        app: AsgiApp | None = None
        if scope["type"] == "http":
            path: str = scope["path"]
            if path.startswith(CALLBACKS):
                app = self._callbacks
            elif path == PREFIX or path.startswith(PREFIX + "/"):
                app = self._admin
            elif path == METRICS and self._metrics is not None:
                await self._metrics.update()
        await (app or self._rest)(scope, receive, send)
