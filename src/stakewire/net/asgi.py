"""What the sides' ASGI apps share: one shape of errors, a bearer token, a bound on bodies, an access log."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stakewire.clock import Clock
from stakewire.errors import ConfigError, InvalidInput, StakewireError
from stakewire.net.http import AsgiApp, Message, Receive, Scope, Send, error_body

log = structlog.get_logger("stakewire.net")

ExceptionHandler = Callable[[Request, Exception], Awaitable[Response]]

NO_SUCH_PATH = "there is no such path"
"""The one message of every 404 for a path, so that it tells nothing of what else is there."""

_WORDS = {
    400: "INVALID_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "TOO_MANY_REQUESTS",
}


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON: plain data, dataclasses or msgspec Structs; Decimals become strings."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def error_response(error: StakewireError) -> Response:
    """`{"error": code, "message": text}` with the error's own status; 503 says when to try again."""
    headers = {"retry-after": "1"} if error.retryable else {}
    if error.http_status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.http_status >= 500 and not error.retryable:
        # What is wrong inside is for our log, not for the caller.
        return _envelope(error.http_status, "INTERNAL_ERROR", "the request could not be handled", headers)
    return _envelope(error.http_status, error.code, error.message, headers)


def exception_handlers() -> dict[Any, ExceptionHandler]:
    """For `Starlette(exception_handlers=...)`: every failure is answered in the one shape."""

    async def ours(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, StakewireError)
        if exc.http_status >= 500:
            log.error("request failed", path=request.url.path, error=exc.code, message=exc.message)
        return error_response(exc)

    async def framework(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        code = _WORDS.get(exc.status_code, "ERROR")
        unknown = exc.status_code == 404 and exc.detail == "Not Found"  # nobody's route, not a missing thing
        message = NO_SUCH_PATH if unknown else str(exc.detail).lower()
        return _envelope(exc.status_code, code, message, exc.headers)

    async def unexpected(request: Request, exc: Exception) -> Response:
        log.error("request failed", path=request.url.path, exc_info=exc)
        return _envelope(500, "INTERNAL_ERROR", "the request could not be handled")

    return {StakewireError: ours, HTTPException: framework, Exception: unexpected}


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The complete body of a request.

    Raises:
        BodyTooLarge: it has more than `max_bytes`.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            raise BodyTooLarge(f"the body of this request has at most {max_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


class BodyTooLarge(InvalidInput):
    """A body over the bound of its route."""

    default_code = "BODY_TOO_LARGE"
    http_status = 413


class BearerToken:
    """One shared token, compared in constant time; `repr` hides it."""

    def __init__(self, token: str, *, setting: str) -> None:
        """`setting` names where the token comes from.

        Raises:
            ConfigError: fewer than 16 characters, so easily guessed.
        """
        if len(token) < 16:
            raise ConfigError(f"{setting} needs at least 16 characters; set it to a long random text")
        self._expected = b"bearer " + token.encode()

    def __repr__(self) -> str:
        return "BearerToken(...)"

    def accepts(self, authorization: bytes | None) -> bool:
        """Whether the value of an `Authorization` header carries the token."""
        scheme, _, given = (authorization or b"").partition(b" ")
        return hmac.compare_digest(scheme.lower() + b" " + given.strip(b" "), self._expected)


class AccessLog:
    """Middleware: one line per request, with the path but never the query, which may carry tokens."""

    def __init__(self, app: AsgiApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            took_ms = round((self._clock.monotonic() - began) * 1000, 1)
            peer = scope["client"][0] if scope.get("client") else None
            log.info(
                "request", method=scope["method"], path=scope["path"], status=status, ms=took_ms, peer=peer
            )


def _envelope(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(error_body(code, message), status, headers, "application/json")
