"""`/health/live`: the process turns; `/health/ready`: what it needs is there too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stakewire.errors import StakewireError
from stakewire.net.asgi import json_response

log = structlog.get_logger("stakewire.net")

HealthCheck = Callable[[], Awaitable[None]]
"""Returns if what it looks at works; raises otherwise. A StakewireError's code is shown to the caller."""


def health_routes(checks: Mapping[str, HealthCheck], *, timeout_seconds: float = 2.0) -> list[Route]:
    """Routes of both; ready answers 200, or 503 with the names of the checks that failed.

    The body is `{"status": "ready" | "not_ready", "checks": {name: "ok" | reason}}`. All checks run at
    once; one that takes longer than `timeout_seconds` has failed. Reasons are words, never exception texts.
    """

    async def live(_: Request) -> Response:
        return json_response({"status": "live"})

    async def ready(_: Request) -> Response:
        results = await asyncio.gather(*(_run(name, check) for name, check in checks.items()))
        verdicts = dict(zip(checks, results, strict=True))
        if all(verdict == "ok" for verdict in verdicts.values()):
            return json_response({"status": "ready", "checks": verdicts})
        return json_response({"status": "not_ready", "checks": verdicts}, 503)

    async def _run(name: str, check: HealthCheck) -> str:
        try:
            async with asyncio.timeout(timeout_seconds):
                await check()
        except TimeoutError:
            return "timeout"
        except StakewireError as error:
            log.warning("not ready", check=name, error=error.code, message=error.message)
            return error.code
        except Exception as error:
            log.warning("not ready", check=name, error=repr(error))
            return "failed"
        return "ok"

    return [Route("/health/live", live), Route("/health/ready", ready)]
