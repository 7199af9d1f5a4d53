"""The OpenAPI 3.1 description of what clients and the page call; a test holds it against the routes."""

from __future__ import annotations

from typing import Any

from stakewire import __version__
from stakewire.sportsbook.config import API_VERSION
from stakewire.wire.sportsbook.codes import DEFINITE_DECLINES

Json = dict[str, Any]

_BEARER: Json = {"type": "http", "scheme": "bearer"}
_DECIMAL: Json = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$", "examples": ["5.00"]}
_ID: Json = {"type": "string", "pattern": "^[0-9]+$"}


def document(server: str) -> Json:
    """The description, for the API under `server`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stakewire sportsbook",
            "version": __version__,
            "description": "What a platform calls, and what the page in its iframe calls.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "paths": {f"/{API_VERSION}{path}": item for path, item in _paths().items()},
        "components": {
            "securitySchemes": {
                "clientToken": {**_BEARER, "description": "The token of auth."},
                "pageSession": {**_BEARER, "description": "The bearer of a launched page."},
                "pageCookie": {"type": "apiKey", "in": "cookie", "name": "__Host-stakewire"},
            },
            "schemas": _schemas(),
            "responses": {
                "Error": {
                    "description": "A failure: a word for programs and a sentence for people.",
                    "content": _json("Error"),
                }
            },
        },
    }


def _paths() -> dict[str, Json]:
    page: list[Json] = [{"pageSession": []}, {"pageCookie": []}]
    return {
        "/auth": {
            "post": _operation(
                "auth",
                "Get a token",
                _json("AuthAnswer"),
                body="AuthRequest",
                errors=(400, 401, 403, 413, 429),
            )
        },
        "/start-session": {
            "post": _operation(
                "start-session",
                "Get the iframe URL for a player; it works once, for 60 seconds",
                _json("StartSessionAnswer"),
                body="StartSessionRequest",
                security=[{"clientToken": []}],
                errors=(400, 401, 403, 413, 429),
            )
        },
        "/page/session": {
            "get": _operation(
                "session", "Who the page is open for", _json("Session"), security=page, errors=(401,)
            )
        },
        "/page/matches": {
            "get": _operation("matches", "Matches on offer", _json("Matches"), security=page, errors=(401,))
        },
        "/page/bets": {
            "get": _operation(
                "bets",
                "The player's latest 50 bets, newest first",
                _json("Bets"),
                security=page,
                errors=(401,),
            ),
            "post": _operation(
                "place-bet",
                "Place a bet; the same slip again is the same bet",
                _json("PlacedBet"),
                body="Slip",
                security=page,
                errors=(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
            ),
        },
        "/openapi.json": {
            "get": _operation(
                "openapi", "This document", {"application/json": {"schema": {"type": "object"}}}
            )
        },
    }


def _operation(
    name: str,
    summary: str,
    content: Json,
    *,
    body: str | None = None,
    security: list[Json] | None = None,
    errors: tuple[int, ...] = (),
) -> Json:
    operation: Json = {
        "operationId": name,
        "summary": summary,
        "security": security or [],
        "responses": {
            "200": {"description": "Done.", "content": content},
            **{str(status): {"$ref": "#/components/responses/Error"} for status in errors},
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    return operation


def _json(schema: str) -> Json:
    return {"application/json": {"schema": _ref(schema)}}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _object(required: Json, optional: Json | None = None) -> Json:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list(schema: str) -> Json:
    return {"type": "array", "items": _ref(schema)}


def _one_of(*values: str) -> Json:
    return {"type": "string", "enum": list(values)}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _schemas() -> dict[str, Json]:
    text: Json = {"type": "string"}
    user: Json = {"type": "string", "minLength": 1, "maxLength": 128}
    moment: Json = {"type": "string", "format": "date-time"}
    flag: Json = {"type": "boolean"}
    market, outcome = _one_of("1x2", "ou2.5"), _one_of("1", "X", "2", "over", "under")
    score = _or_null({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2})
    match_head: Json = {
        "id": _ID,
        "league": text,
        "home": text,
        "away": text,
        "kickoff": moment,
        "state": _one_of("scheduled", "live", "finished", "void"),
        "simulated": flag,
        "score": score,
    }
    return {
        "Error": _object({"error": text, "message": text}, {"odds": _DECIMAL}),
        "AuthRequest": _object({"username": text, "password": text}),
        "AuthAnswer": _object({"token": text, "expires_in": {"type": "integer", "minimum": 1}}),
        "StartSessionRequest": _object({"user_id": user, "currency": text}, {"lang": _or_null(text)}),
        "StartSessionAnswer": _object({"url": {"type": "string", "format": "uri"}}),
        "Session": _object(
            {
                "client": text,
                "user_id": user,
                "currency": text,
                "exponent": {"type": "integer", "minimum": 0, "maximum": 18},
                "lang": _one_of("en", "ar"),
                "origins": {"type": "array", "items": text},
                "expires_at": moment,
            }
        ),
        "Outcome": _object({"id": _ID, "name": outcome, "odds": _DECIMAL, "active": flag}),
        "Market": _object({"key": market, "outcomes": _list("Outcome")}),
        "MatchHead": _object(match_head),
        "Match": _object({**match_head, "markets": _list("Market")}),
        "Matches": _object({"matches": _list("Match")}),
        "Bet": _object(
            {
                "id": _ID,
                "slip_id": {"type": "string", "format": "uuid"},
                "match": _ref("MatchHead"),
                "market": market,
                "outcome": outcome,
                "odds": _DECIMAL,
                "stake": _DECIMAL,
                "currency": text,
                "state": _one_of("pending", "accepted", "refused", "won", "lost", "void"),
                "refusal": _or_null(_one_of(*sorted(DEFINITE_DECLINES), "UNKNOWN")),
                "payout": _or_null(_DECIMAL),
                "potential_payout": _DECIMAL,
                "placed_at": moment,
                "rolled_back": flag,
            }
        ),
        "Bets": _object({"bets": _list("Bet")}),
        "PlacedBet": _object({"bet": _ref("Bet")}),
        "Slip": _object(
            {
                "slip_id": {"type": "string", "format": "uuid"},
                "outcome_id": _ID,
                "odds": _DECIMAL,
                "stake": _DECIMAL,
            }
        ),
    }
