"""OpenAPI 3.1 of the admin API, made from the operation table and the body types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from stakewire.wallet.admin import operations, types
from stakewire.wallet.admin.operations import Key, Operation

REF = "#/components/schemas/{name}"
COMMON_ERRORS = (401, 503)
DESCRIPTIONS = {
    200: "Done",
    201: "Made",
    400: "The request is not valid; the message names the field",
    401: "No token, or a wrong one",
    403: "The admin API is off: STAKEWIRE_ADMIN_TOKEN is not set",
    404: "Not found",
    409: "The id was used for something else, or the state forbids it",
    413: "The body is over 64 KiB",
    422: "Refused by a rule; `error` says which",
    503: "The database is away; send the same request again",
}


def document(table: Iterable[Operation], *, version: str) -> dict[str, Any]:
    """The whole document as plain JSON values; `version` is the package's."""
    listed = list(table)
    schemas = _schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        paths.setdefault(operations.PREFIX + operation.path, {})[operation.method.lower()] = _operation(
            operation
        )
    paths[operations.PREFIX + "/openapi.json"] = {"get": _self_description()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stakewire wallet admin API",
            "version": version,
            "description": (types.__doc__ or "").split("\n\n", 1)[-1].replace("\n", " ").strip(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in ("players", "money", "operators", "document")],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "STAKEWIRE_ADMIN_TOKEN"}
            },
        },
    }


def _schemas(table: list[Operation]) -> dict[str, Any]:
    wanted: list[type[msgspec.Struct]] = [types.Failure]
    for operation in table:
        wanted.append(operation.answer)
        if operation.body is not None:
            wanted.append(operation.body)
    _, components = msgspec.json.schema_components(wanted, ref_template=REF)
    return components


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation.path), *_key_parameter(operation.key), *_query(operation)],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "schema": operations.PATH_PARAMETERS[name]}
        for name in names
    ]


def _key_parameter(key: Key) -> list[dict[str, Any]]:
    if key is Key.NONE:
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": key is Key.REQUIRED,
            "schema": operations.KEY_SCHEMA,
            "description": "The act's id, kept for ever: sent twice, done once",
        }
    ]


def _query(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": query.name,
            "in": "query",
            "required": False,
            "schema": query.schema,
            "description": query.description,
        }
        for query in operation.query
    ]


def _responses(operation: Operation) -> dict[str, Any]:
    takes_input = (
        operation.body is not None
        or operation.query
        or operation.key is not Key.NONE
        or "{" in operation.path
    )
    statuses = {*COMMON_ERRORS, 403, *operation.errors}
    statuses |= {400} if takes_input else set()
    statuses |= {413} if operation.body is not None else set()
    failures = {str(status): _response(status, types.Failure) for status in sorted(statuses)}
    return {str(operation.status): _response(operation.status, operation.answer), **failures}


def _response(status: int, body: type[msgspec.Struct]) -> dict[str, Any]:
    return {"description": DESCRIPTIONS[status], "content": _json(body)}


def _json(body: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REF.format(name=body.__name__)}}}


def _self_description() -> dict[str, Any]:
    return {
        "operationId": "openapi",
        "summary": "This document",
        "tags": ["document"],
        "parameters": [],
        "responses": {
            "200": {
                "description": "OpenAPI 3.1",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **{str(status): _response(status, types.Failure) for status in (401, 403)},
        },
    }
