"""`/metrics` for Prometheus, right for one process and for several workers of one command.

Several workers count into files of a common folder (the multiprocess mode of prometheus-client), and
whichever is asked answers for all. The library decides at import, so the parent sets the environment.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare_folder(folder: Path) -> dict[str, str]:
    """Empty the folder of a former run; return the environment that workers need."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink()
    return {FOLDER_VARIABLE: str(folder)}


def forget_worker(folder: Path, pid: int) -> None:
    """A worker ended: its gauges of living things count no longer; what it counted stays."""
    multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def metrics_text(registry: CollectorRegistry) -> bytes:
    """All metrics in Prometheus' text format; of all workers where there are several."""
    if os.environ.get(FOLDER_VARIABLE):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def metrics_route(registry: CollectorRegistry, path: str = "/metrics") -> Route:
    """The route; reading the workers' files happens outside the event loop."""

    async def metrics(_: Request) -> Response:
        text = await run_in_threadpool(metrics_text, registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    return Route(path, metrics)
