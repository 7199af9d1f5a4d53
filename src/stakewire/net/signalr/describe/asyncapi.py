"""An AsyncAPI 3.0 document of a hub: its one channel, and what goes over it as JSON.

The hub is the application described, so what clients call is `receive`, and what it calls on them is `send`.
Schemas are JSON Schema draft 7, the dialect of AsyncAPI's own schema objects (AsyncAPI 3.0.0, section "Schema
Object"); every hub message is a payload as a whole, its `type` and `target` included.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from stakewire.net.signalr.describe.types import Catalogue, types_of
from stakewire.net.signalr.methods import HubDescription, HubMethod, Parameter

_SCHEMAS = "#/components/schemas/{name}"
_CHANNEL = "#/channels/hub"
_ID: dict[str, Any] = {"type": "string", "minLength": 1}
_ABOUT = (
    "An ASP.NET Core SignalR hub: clients negotiate by POST to {path}/negotiate?negotiateVersion=1, then"
    " connect to {path} by WebSocket, server-sent events or long polling, and begin with"
    ' {{"protocol":"json","version":1}}.'
    " Every message is JSON and ends with the byte 0x1E; MessagePack carries the same."
)


def asyncapi(hub: HubDescription, *, path: str = "/hub", version: str = "1.0.0") -> dict[str, Any]:
    """The document as plain JSON values; `version` is that of the hub's interface.

    Raises:
        ConfigError: two types of the hub have one name.
    """
    Catalogue(hub)  # refuses names that are taken twice
    kinds = [kind for method in (*hub.methods, *hub.client_methods) for kind in types_of(method)]
    found, components = msgspec.json.schema_components(kinds, ref_template=_SCHEMAS)
    writer = _Writer({kind: _draft_7(schema) for kind, schema in zip(kinds, found, strict=True)})
    operations = {_key(method.name): writer.called(method, bool(hub.policies)) for method in hub.methods}
    for method in hub.client_methods:
        operations[f"client.{_key(method.name)}"] = writer.calls(method)
    schemas = {name: _draft_7(schema) for name, schema in components.items()}
    document: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {
            "title": hub.hub.__name__,
            "version": version,
            "description": "\n\n".join(
                text for text in (_text(hub.hub.__doc__ or ""), _ABOUT.format(path=path)) if text
            ),
        },
        "defaultContentType": "application/json",
        "channels": {
            "hub": {
                "address": path,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in writer.messages},
            }
        },
        "operations": operations,
        "components": {"messages": writer.messages, "schemas": schemas},
    }
    if writer.secured:
        document["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "Or the parameter `access_token`."}
        }
    return document


class _Writer:
    """Collects messages while operations are written.

    Attributes:
        messages: by their keys.
        secured: an operation wants a token.
    """

    def __init__(self, schemas: dict[Any, dict[str, Any]]) -> None:
        self._schemas = schemas
        self.messages: dict[str, dict[str, Any]] = {}
        self.secured = False

    def called(self, method: HubMethod, hub_is_secured: bool) -> dict[str, Any]:
        """The operation of a method that clients call."""
        operation = self._operation("receive", method, _key(method.name))
        if method.policies or hub_is_secured:
            self.secured = True
            operation["security"] = [{"$ref": "#/components/securitySchemes/token"}]
        if method.policies:
            operation["x-policies"] = [
                getattr(policy, "__name__", type(policy).__name__) for policy in method.policies
            ]
        return operation

    def calls(self, method: HubMethod) -> dict[str, Any]:
        """The operation of a method that the hub calls on its clients."""
        operation = self._operation("send", method, f"client.{_key(method.name)}")
        if method.result is type(None):
            del operation["reply"]  # sent without an id, and so never answered
        return operation

    def _operation(self, action: str, method: HubMethod, key: str) -> dict[str, Any]:
        asked = [self._add(key, method.name, _invocation(method, self._arguments(method)))]
        for number, stream in enumerate(method.streams):
            asked.append(
                self._add(
                    f"{key}.{_key(stream.name)}",
                    f"An item of `{stream.name}`; its invocationId is streamIds[{number}] of the call.",
                    _item(self._schemas[stream.type]),
                )
            )
        answers = []
        if method.streaming:
            answers.append(self._add(f"{key}.item", "One item", _item(self._schemas[method.result])))
        result = None if method.streaming else self._schemas[method.result]
        answers.append(self._add(f"{key}.completion", "The end, or the error", _completion(result)))
        operation: dict[str, Any] = {
            "action": action,
            "channel": {"$ref": _CHANNEL},
            "messages": asked,
            "reply": {"channel": {"$ref": _CHANNEL}, "messages": answers},
        }
        text = _text(method.doc)
        if text:
            operation["summary"] = text.split("\n")[0]
            operation["description"] = text
        return operation

    def _arguments(self, method: HubMethod) -> dict[str, Any]:
        schemas = [self._titled(parameter) for parameter in method.parameters]
        array: dict[str, Any] = {"type": "array", "minItems": method.required, "maxItems": len(schemas)}
        if schemas:
            array |= {"items": schemas, "additionalItems": False}
        return array

    def _titled(self, parameter: Parameter) -> dict[str, Any]:
        schema = self._schemas[parameter.type]
        # Beside a `$ref` other keywords are not looked at in draft 7.
        schema = {"allOf": [schema]} if "$ref" in schema else schema
        return {**schema, "title": parameter.name}

    def _add(self, key: str, title: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.messages[key] = {"name": key, "title": title, "payload": payload}
        return {"$ref": f"{_CHANNEL}/messages/{key}"}


def _invocation(method: HubMethod, arguments: dict[str, Any]) -> dict[str, Any]:
    properties = {
        "type": {"const": 4 if method.streaming else 1},
        "target": {"const": method.name},
        "arguments": arguments,
        "invocationId": _ID,
    }
    required = ["type", "target", "arguments"]
    if method.streaming:
        required.append("invocationId")
    if method.streams:
        count = len(method.streams)
        properties["streamIds"] = {"type": "array", "items": _ID, "minItems": count, "maxItems": count}
        required.append("streamIds")
    return {"type": "object", "properties": properties, "required": required}


def _item(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"type": {"const": 2}, "invocationId": _ID, "item": schema},
        "required": ["type", "invocationId", "item"],
    }


def _completion(result: dict[str, Any] | None) -> dict[str, Any]:
    """With a result, or with an error; a stream's has neither, or an error."""
    good: dict[str, Any] = {"properties": {"result": False, "error": False}}
    if result is not None:
        good = {"properties": {"result": result, "error": False}, "required": ["result"]}
    bad = {"properties": {"error": {"type": "string"}, "result": False}, "required": ["error"]}
    return {
        "type": "object",
        "properties": {"type": {"const": 3}, "invocationId": _ID},
        "required": ["type", "invocationId"],
        "oneOf": [good, bad],
    }


def _draft_7(schema: Any) -> Any:
    """A schema of msgspec's (2020-12) in the words of draft 7, with AsyncAPI's own `discriminator`."""
    if isinstance(schema, list):
        return [_draft_7(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    written = {key: _draft_7(value) for key, value in schema.items()}
    if "prefixItems" in written:
        items = written.pop("prefixItems")
        if "items" in written:
            written["additionalItems"] = written.pop("items")
        written["items"] = items
    if isinstance(written.get("discriminator"), dict):
        written["discriminator"] = written["discriminator"]["propertyName"]
    return written


def _key(name: str) -> str:
    """A name as keys of components may be: letters, digits, `.`, `-` and `_`."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _text(doc: str) -> str:
    """A docstring's first paragraph, in one line."""
    return " ".join(doc.strip().split("\n\n")[0].split())
