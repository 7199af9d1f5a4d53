"""`POST /v1/auth` and `POST /v1/start-session`: what a client's platform calls (contract section 2)."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stakewire.sportsbook.access import Access, InvalidToken
from stakewire.sportsbook.config import API_VERSION
from stakewire.sportsbook.http.openapi import document
from stakewire.sportsbook.http.requests import answer, bearer_of, peer_of, raw_body
from stakewire.wire.sportsbook.sessions import (
    AuthAnswer,
    AuthRequest,
    StartSessionAnswer,
    StartSessionRequest,
    decode,
)


def api_routes(access: Access, public_url: str) -> list[Route]:
    """The clients' routes; `public_url` is the address their players' browsers reach us under."""

    async def auth(request: Request) -> Response:
        asked = decode(await raw_body(request), AuthRequest)
        given = await access.authenticate(asked.username, asked.password, peer_of(request))
        return answer(AuthAnswer(token=given.token, expires_in=given.expires_in))

    async def start_session(request: Request) -> Response:
        token = bearer_of(request)
        if token is None:
            raise InvalidToken("send Authorization: Bearer <token>; auth gives one")
        client = await access.client_of(token)
        asked = decode(await raw_body(request), StartSessionRequest)
        launch = await access.start_session(
            client, user_id=asked.user_id, currency=asked.currency, lang=asked.lang
        )
        # In the query, which our logs drop, and not in the path, which they keep.
        return answer(StartSessionAnswer(url=f"{public_url}/launch?{urlencode({'token': launch})}"))

    async def openapi(_: Request) -> Response:
        return answer(document(public_url))

    prefix = f"/{API_VERSION}"
    return [
        Route(f"{prefix}/auth", auth, methods=["POST"], name="auth"),
        Route(f"{prefix}/start-session", start_session, methods=["POST"], name="start-session"),
        Route(f"{prefix}/openapi.json", openapi, methods=["GET"], name="openapi"),
    ]
