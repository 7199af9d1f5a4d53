"""What the sportsbook's handlers share: JSON bodies, tokens, where a request came from, answers to errors."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stakewire.errors import InvalidInput, Unavailable
from stakewire.net.asgi import ExceptionHandler, error_response, exception_handlers, json_response, read_body
from stakewire.sportsbook.access import Forbidden, InvalidToken, TooManyRequests
from stakewire.sportsbook.bets import OddsChanged

MAX_BODY_BYTES = 16 * 1024
COOKIE = "__Host-stakewire"

NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

Body = TypeVar("Body")


class UnsupportedMediaType(InvalidInput):
    """The body is not declared as JSON."""

    default_code = "UNSUPPORTED_MEDIA_TYPE"
    http_status = 415


def answer(content: object) -> Response:
    """200 with JSON that no cache keeps."""
    return json_response(content, headers=NO_STORE)


async def raw_body(request: Request) -> bytes:
    return await read_body(request, MAX_BODY_BYTES)


async def page_body(request: Request, kind: type[Body]) -> Body:
    """The JSON body of a page's request.

    The declared type is insisted on: a form of another site cannot send it without asking first.

    Raises:
        UnsupportedMediaType: not declared as application/json.
        InvalidInput: not JSON of this shape.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("send the header Content-Type: application/json")
    try:
        return msgspec.json.decode(await raw_body(request), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the body is not what is expected here: {error}") from None


def bearer_of(request: Request) -> str | None:
    """The token of `Authorization: Bearer <token>`.

    Raises:
        InvalidToken: the header is there and is no such thing, or came twice.
    """
    given = request.headers.getlist("authorization")
    if not given:
        return None
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise InvalidToken("send Authorization: Bearer <token>, once")
    return token.strip()


def session_token(request: Request) -> str:
    """The page session's token: the bearer if there is one, else the cookie.

    Raises:
        InvalidToken: neither came.
    """
    token = bearer_of(request) or request.cookies.get(COOKIE)
    if not token:
        raise InvalidToken("there is no session; open the page from the site")
    return token


def check_own_origin(request: Request, public_url: str) -> None:
    """Refuse a writing request that another site's page made.

    A browser names the origin of every such request; without one, only a bearer (which no other
    site's page has) is believed.

    Raises:
        Forbidden: the origin is another one, or is missing beside a cookie.
    """
    given = request.headers.get("origin")
    if given is None and bearer_of(request) is not None:
        return
    parts = urlsplit(public_url)
    own = {f"{parts.scheme}://{parts.netloc}", f"{request.url.scheme}://{request.url.netloc}"}
    if given not in own:
        raise Forbidden("this request came from another site's page", code="WRONG_ORIGIN")


def peer_of(request: Request) -> str:
    """The address of the caller, as the server (which knows its proxies) tells it."""
    return request.client.host if request.client is not None else "unknown"


def handlers() -> dict[Any, ExceptionHandler]:
    """`net.asgi.exception_handlers` and the answers only the sportsbook has."""

    async def slow_down(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, TooManyRequests)
        response = error_response(exc)
        response.headers["retry-after"] = str(exc.retry_after)
        return response

    async def odds_changed(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, OddsChanged)
        content = {"error": exc.code, "message": exc.message, "odds": exc.shown}
        return json_response(content, exc.http_status, NO_STORE)

    async def database_away(_: Request, __: Exception) -> Response:
        return error_response(Unavailable("the database is away; try again in a moment"))

    away = dict.fromkeys(
        (
            OSError,
            asyncpg.PostgresConnectionError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # a connection ended while the driver was between two states
            asyncpg.exceptions.OperatorInterventionError,
            asyncpg.exceptions.InsufficientResourcesError,
            asyncpg.exceptions.ObjectNotInPrerequisiteStateError,  # the database takes no connections
        ),
        database_away,
    )
    return {**exception_handlers(), **away, TooManyRequests: slow_down, OddsChanged: odds_changed}
