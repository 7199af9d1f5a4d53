"""The admin API as an ASGI app (Starlette): the token, the bodies, the table of operations, the errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stakewire.errors import InvalidInput, NotFound, StakewireError, Unauthorized
from stakewire.net.asgi import NO_SUCH_PATH, BearerToken, error_response, json_response, read_body
from stakewire.wallet.admin import handlers, openapi, types
from stakewire.wallet.admin.operations import OPERATIONS, PREFIX, Key, Operation
from stakewire.wire.sportsbook.strict_json import parse_object

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 64 * 1024
_KEY: Final = re.compile(r"[!-~]{1,128}")
_JSON: Final = "application/json"


class MethodNotAllowed(StakewireError):
    """The path exists, the method does not."""

    default_code = "METHOD_NOT_ALLOWED"
    http_status = 405


class AdminOff(StakewireError):
    """No token is set, so nobody can have it."""

    default_code = "ADMIN_OFF"
    http_status = 403


@dataclass(frozen=True, slots=True)
class _Matched:
    methods: Mapping[str, Operation]
    names: Mapping[str, str]


class AdminApi:
    """`/admin/v1`. Every answer is JSON; every failure is `{"error", "message"}`."""

    def __init__(self, desks: handlers.Desks, *, token: str | None) -> None:
        self._desks = desks
        self._token = None if token is None else BearerToken(token, setting="STAKEWIRE_ADMIN_TOKEN")
        self._document = msgspec.json.encode(openapi.document(OPERATIONS, version=version("stakewire")))
        self._paths = _by_path()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request under the prefix."""
        assert scope["type"] == "http"
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except StakewireError as error:
            response = error_response(error)
        except Exception:
            log.exception("admin_failed", path=scope["path"])
            response = error_response(StakewireError("the wallet failed; its log says why"))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        self._check_token(request.scope)
        matched = self._match(_segments(request.scope))
        operation = matched.methods.get("GET" if request.method == "HEAD" else request.method)
        if operation is None:
            response = error_response(MethodNotAllowed(f"{request.method} is not possible here"))
            response.headers["allow"] = ", ".join(sorted(matched.methods))
            return response
        if operation is _DOCUMENT:
            return Response(self._document, media_type=_JSON)
        call = handlers.Call(
            names=matched.names,
            query=_query(request, operation),
            key=_idempotency_key(request, operation),
            body=await _body(request, operation),
        )
        answer = await handlers.HANDLERS[operation.id](self._desks, call)
        return json_response(answer, operation.status)

    def _check_token(self, scope: Scope) -> None:
        if self._token is None:
            raise AdminOff("the admin API is off; start the wallet with STAKEWIRE_ADMIN_TOKEN set")
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1 or not self._token.accepts(given[0]):
            raise Unauthorized("send the header: Authorization: Bearer <STAKEWIRE_ADMIN_TOKEN>")

    def _match(self, segments: tuple[str, ...]) -> _Matched:
        for pattern, methods in self._paths:
            names = _names(pattern, segments)
            if names is not None:
                return _Matched(methods, names)
        raise NotFound(NO_SUCH_PATH)


_DOCUMENT: Final = Operation(
    id="openapi", method="GET", path="/openapi.json", tag="document", summary="", answer=types.Answer
)


def _by_path() -> list[tuple[tuple[str, ...], dict[str, Operation]]]:
    found: dict[str, dict[str, Operation]] = {}
    for operation in (*OPERATIONS, _DOCUMENT):
        found.setdefault(operation.path, {})[operation.method] = operation
    return [(tuple(path.strip("/").split("/")), methods) for path, methods in found.items()]


def _names(pattern: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    """The values of the pattern's `{names}`, or None if the path is another one."""
    if len(pattern) != len(segments):
        return None
    names = {}
    for wanted, given in zip(pattern, segments, strict=True):
        if wanted.startswith("{"):
            names[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return names if all(names.values()) else None


def _segments(scope: Scope) -> tuple[str, ...]:
    """The path below the prefix, split before it is decoded: a player's name may hold a slash (`%2F`)."""
    raw = scope.get("raw_path")
    path: str = raw.decode("ascii") if raw else scope["path"]
    below = path.partition("?")[0].removeprefix(scope.get("root_path", "")).removeprefix(PREFIX)
    try:
        return tuple(unquote_to_bytes(part).decode() for part in below.removeprefix("/").split("/"))
    except UnicodeDecodeError:
        raise NotFound(NO_SUCH_PATH) from None


def _query(request: Request, operation: Operation) -> dict[str, str]:
    known = {query.name for query in operation.query}
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise InvalidInput(f"unknown query parameter {name!r}")
        if name in found:
            raise InvalidInput(f"query parameter {name!r} came twice")
        found[name] = value
    return found


def _idempotency_key(request: Request, operation: Operation) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if operation.key is Key.NONE:
        return None
    if not given:
        if operation.key is Key.REQUIRED:
            raise InvalidInput(
                "acts on money need the header Idempotency-Key: your id, sent again only to repeat it",
                code="IDEMPOTENCY_KEY_REQUIRED",
            )
        return None
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        raise InvalidInput("Idempotency-Key must be one header of 1 to 128 visible ASCII characters")
    return given[0]


async def _body(request: Request, operation: Operation) -> msgspec.Struct | None:
    if operation.body is None:
        return None
    raw = await read_body(request, MAX_BODY_BYTES)
    parse_object(raw)  # one reading or none: a name given twice would be two acts in one
    try:
        return msgspec.json.decode(raw, type=operation.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is not valid: {error}") from None
