"""The callbacks as a plain ASGI app: mountable in any framework, with the same handlers as the hot routes.

In our own service it is the second door: an operator made in another process a moment ago is not among
the hot routes yet, and its first request comes here and brings it in.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from stakewire.clock import Clock
from stakewire.net.asgi import NO_SUCH_PATH
from stakewire.net.http import HotRequest, Receive, Scope, Send
from stakewire.wallet.front import CallbackFront, Route
from stakewire.wallet.plain_asgi import JSON, is_encoded, path_below_mount, read_body, send_failure, send_json
from stakewire.wire.sportsbook.strict_json import MAX_BODY_BYTES

_PATH: Final = re.compile(r"/callbacks/[a-z0-9-]{1,63}/transaction(?:-rollback)?")


class CallbackApp:
    """Answers `POST /callbacks/<operator>/transaction[-rollback]`, below wherever it is mounted."""

    def __init__(self, front: CallbackFront, clock: Clock) -> None:
        self._front = front
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError(f"this app speaks HTTP only, not {scope['type']}")
        route = await self._route(path_below_mount(scope))
        if route is None:
            await send_failure(send, 404, "NOT_FOUND", NO_SUCH_PATH)
        elif scope["method"] != "POST":
            await send_failure(
                send, 405, "METHOD_NOT_ALLOWED", "callbacks are sent by POST", (b"allow", b"POST")
            )
        elif is_encoded(scope):
            await send_failure(
                send, 415, "UNSUPPORTED_MEDIA_TYPE", "the signature is over the bytes: send them unencoded"
            )
        else:
            body = await read_body(scope, receive, MAX_BODY_BYTES)
            if body is None:
                await send_failure(
                    send, 413, "BODY_TOO_LARGE", f"a callback has at most {MAX_BODY_BYTES} bytes"
                )
            else:
                await self._handle(route, self._request(scope, body), send)

    async def _route(self, path: str) -> Route | None:
        route = self._front.find_hot("POST", path)
        if route is None and _PATH.fullmatch(path):
            await self._front.reload_for_unknown()
            route = self._front.find_hot("POST", path)
        return route

    async def _handle(self, route: Route, request: HotRequest, send: Send) -> None:
        answered: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

        def respond(status: int, body: bytes, content_type: bytes = JSON) -> None:
            if not answered.done():
                answered.set_result((status, body))

        route(request, respond)
        status, body = await answered
        await send_json(send, status, body)

    def _request(self, scope: Scope, body: bytes) -> HotRequest:
        request = HotRequest()
        request.method = "POST"
        request.path = path_below_mount(scope)
        request.headers = [
            (bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in scope["headers"]
        ]
        request.body = body
        request.peer = str((scope.get("client") or ("unknown",))[0])
        request.received_at = self._clock.monotonic()
        return request
