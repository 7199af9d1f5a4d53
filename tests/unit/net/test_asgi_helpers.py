"""Errors, tokens, body bounds, health and metrics of the sides' apps, asked through Starlette itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stakewire.errors import ConfigError, Conflict, StakewireError, Unavailable
from stakewire.net.asgi import BearerToken, exception_handlers, read_body
from stakewire.net.health import health_routes
from stakewire.net.metrics import metrics_route

TOKEN = "0123456789abcdef"


async def ask(
    app: Any, path: str, *, body: tuple[bytes, ...] = (b"",), **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """One request to an ASGI app, its body in pieces."""
    sent: list[Any] = []
    parts = iter(body)

    async def receive() -> Any:
        part = next(parts, None)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": part is not body[-1]}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST" if any(body) else "GET", "path": path, "query_string": b"",
        "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    raw = b"".join(message.get("body", b"") for message in sent[1:])
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    content = json.loads(raw) if answered.get("content-type") == "application/json" else raw
    return sent[0]["status"], content, answered


def app_raising(error: Exception) -> Starlette:
    async def fail(_: Request) -> Response:
        raise error

    return Starlette(routes=[Route("/x", fail)], exception_handlers=exception_handlers())


async def test_errors_have_one_shape() -> None:
    """The error's code and sentence with its own status; 503 says when to come again."""
    app = app_raising(Conflict("t1 is a bet already", code="TRANSACTION_MISMATCH"))
    status, content, _ = await ask(app, "/x")
    assert (status, content) == (409, {"error": "TRANSACTION_MISMATCH", "message": "t1 is a bet already"})
    status, content, headers = await ask(app_raising(Unavailable("the database is away")), "/x")
    assert (status, content["error"], headers["retry-after"]) == (503, "UNAVAILABLE", "1")
    assert (await ask(app, "/none"))[:2] == (404, {"error": "NOT_FOUND", "message": "there is no such path"})
    assert (await ask(app, "/x", body=(b"1",)))[1]["error"] == "METHOD_NOT_ALLOWED"


async def test_inner_faults_say_nothing() -> None:
    """What went wrong inside is in the log, never in the answer."""
    for error in (StakewireError("inner detail"), ConfigError("inner detail")):
        status, content, _ = await ask(app_raising(error), "/x")
        assert status == 500
        assert content == {"error": "INTERNAL_ERROR", "message": "the request could not be handled"}


async def echo(request: Request) -> Response:
    return Response(await read_body(request, 1000))


async def test_body_is_bounded_by_what_comes() -> None:
    """A body over the bound is 413, in however many pieces it comes; one at the bound passes."""
    app = Starlette(routes=[Route("/", echo, methods=["POST"])], exception_handlers=exception_handlers())
    assert (await ask(app, "/", body=(b"1" * 500, b"2" * 500)))[0] == 200
    status, content, _ = await ask(app, "/", body=(b"1" * 500, b"2" * 501))
    assert (status, content["error"]) == (413, "BODY_TOO_LARGE")


def test_bearer_token_accepts_itself_alone() -> None:
    """The exact token in any case of the scheme's name; it is neither short nor shown."""
    token = BearerToken(TOKEN, setting="T")
    assert token.accepts(f"Bearer {TOKEN}".encode())
    assert token.accepts(f"bearer {TOKEN}".encode())
    shouted = TOKEN.replace("a", "A")
    for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer", "", f"Bearer {shouted}", "Bearer é"):
        assert not token.accepts(wrong.encode())
    assert not token.accepts(None)
    assert TOKEN not in repr(token)
    with pytest.raises(ConfigError, match="STAKEWIRE_ADMIN_TOKEN"):
        BearerToken("short", setting="STAKEWIRE_ADMIN_TOKEN")


async def test_ready_names_what_is_missing() -> None:
    """Live is always 200; ready is 503 while a check fails, is slow or breaks, without exception texts."""

    async def good() -> None: ...
    async def away() -> None:
        raise Unavailable("postgresql://user:pw@host is away")

    async def slow() -> None:
        await asyncio.Event().wait()

    async def broken() -> None:
        raise RuntimeError("secret")

    well = Starlette(routes=health_routes({"database": good}))
    assert (await ask(well, "/health/live"))[0] == 200
    assert (await ask(well, "/health/ready"))[:2] == (200, {"status": "ready", "checks": {"database": "ok"}})
    checks = {"database": away, "queue": slow, "disk": broken, "clock": good}
    ill = Starlette(routes=health_routes(checks, timeout_seconds=0.01))
    status, content, _ = await ask(ill, "/health/ready")
    assert status == 503
    assert content["checks"] == {
        "database": "UNAVAILABLE", "queue": "timeout", "disk": "failed", "clock": "ok",
    }  # fmt: skip


async def test_metrics_of_one_process() -> None:
    """`/metrics` shows the registry that it was given."""
    registry = CollectorRegistry()
    Counter("bets", "Bets.", registry=registry).inc(3)
    status, text, headers = await ask(Starlette(routes=[metrics_route(registry)]), "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    assert b"bets_total 3.0" in text
