"""Claims about what a hub tells of itself: a valid AsyncAPI 3.0 document, which its real messages follow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.unit.signalr.hubs import HubBench, Record, RecordingConnection, until
from tests.unit.signalr.shop import Colour, ShopHub

from stakewire.errors import ConfigError
from stakewire.net.signalr.describe import asyncapi, python_client, typescript
from stakewire.net.signalr.hub import Hub
from stakewire.net.signalr.methods import describe_hub

DOCUMENT = asyncapi(describe_hub(ShopHub), path="/shop", version="2.1.0")


def refs(part: Any) -> Iterator[str]:
    """Every reference in the document."""
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "$ref" and isinstance(value, str))
        for value in part.values():
            yield from refs(value)
    elif isinstance(part, list):
        for value in part:
            yield from refs(value)


def resolve(ref: str) -> Any:
    """What a reference names; follows one that names another."""
    found: Any = DOCUMENT
    for step in ref.removeprefix("#/").split("/"):
        found = found[step]
    return resolve(found["$ref"]) if "$ref" in found else found


def test_the_document_has_the_shape_of_asyncapi_3() -> None:
    """Root, `info`, channel and operations have the required fields, and no others than the allowed."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"].keys() == {"title", "version", "description"}
    assert DOCUMENT.keys() == {
        "asyncapi",
        "info",
        "defaultContentType",
        "channels",
        "operations",
        "components",
    }
    assert DOCUMENT["components"].keys() == {"messages", "schemas", "securitySchemes"}
    assert DOCUMENT["channels"].keys() == {"hub"}
    assert DOCUMENT["channels"]["hub"]["address"] == "/shop"
    allowed = {"action", "channel", "messages", "reply", "summary", "description", "security", "x-policies"}
    for operation in DOCUMENT["operations"].values():
        assert operation.keys() <= allowed
        assert operation["action"] in ("send", "receive")
        assert operation["channel"] == {"$ref": "#/channels/hub"}


def test_references_lead_somewhere_and_keys_are_legal() -> None:
    """Keys of components match the specification's pattern; an operation's messages are its channel's."""
    for ref in refs(DOCUMENT):
        assert isinstance(resolve(ref), dict)
    for kind in DOCUMENT["components"].values():
        assert all(re.fullmatch(r"[a-zA-Z0-9.\-_]+", key) for key in kind)
    for operation in DOCUMENT["operations"].values():
        for part in (operation, operation.get("reply", {"messages": []})):
            assert all(one["$ref"].startswith("#/channels/hub/messages/") for one in part["messages"])


def test_schemas_are_json_schema_draft_7() -> None:
    """The dialect that every tool for AsyncAPI has to know; `discriminator` is a property's name there."""
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
    for message in DOCUMENT["components"]["messages"].values():
        jsonschema.Draft7Validator.check_schema(message["payload"])
    text = repr(DOCUMENT)
    assert "prefixItems" not in text
    assert "'discriminator': 'type'" in text


def test_operations_say_who_calls_whom() -> None:
    """Clients' calls are received by the hub, with policies and token; what it calls on them is sent."""
    operations = DOCUMENT["operations"]
    assert operations["PriceOf"]["action"] == "receive"
    assert operations["PriceOf"]["summary"] == "What `thing` costs."
    assert "security" not in operations["PriceOf"]
    assert operations["Close_shop"]["security"] == [{"$ref": "#/components/securitySchemes/token"}]
    assert operations["Close_shop"]["x-policies"] == ["is_clerk"]
    assert operations["client.PriceChanged"]["action"] == "send"
    assert "reply" not in operations["client.PriceChanged"]
    assert "reply" in operations["client.Really"]


def follows(record: Record, *keys: str) -> bool:
    """Whether a message follows one of these payloads of the document."""
    whole = {**DOCUMENT, "anyOf": [DOCUMENT["components"]["messages"][key]["payload"] for key in keys]}
    valid: bool = jsonschema.Draft7Validator(whole).is_valid(record)
    return valid


def call(target: str, *arguments: Any, **more: Any) -> Record:
    return {"type": 1, "target": target, "arguments": list(arguments), "invocationId": "1", **more}


MOVE = ({"x": 1.0}, [1, "a"], {"dry": True}, "a")
CUSTOMER = {"id": "00000000-0000-0000-0000-000000000001", "friends": []}


@pytest.mark.parametrize(
    ("target", "arguments", "good"),
    [
        ("PriceOf", ("apple",), True),
        ("PriceOf", (1,), False),
        ("PriceOf", (), False),
        ("Buy", (["apple"],), True),
        ("Buy", (["apple"], 2, True), True),
        ("Buy", (["apple"], 2, True, 3), False),
        ("Move", ([1, 2], [1, "a"], {}, 1), True),
        ("Move", ([1], [1, "a"], {"dry": True}, "a"), True),
        ("Move", ([1, 2], [1], {}, 1), False),
        ("Move", ([1, 2], [1, "a"], {}, "b"), False),
        ("Area", ({"type": "square", "side": 2},), True),
        ("Area", ({"type": "triangle"},), False),
        ("Customers", (1,), True),
        ("Stock", (), True),
        ("AskMe", ("really?",), True),
        ("Anything", ({"a": 1}, "aGk=", "PT5S"), True),
    ],
)
async def test_the_hub_takes_what_the_document_allows(
    target: str, arguments: tuple[Any, ...], good: bool
) -> None:
    """A call that follows the document is carried out, and its answers follow it, too; others fail."""
    bench = HubBench(ShopHub)
    connection = await bench.connect()
    record = call(target, *arguments)
    assert follows(record, target) is good
    bench.receive(connection, **record)
    if target == "AskMe":
        await until(lambda: len(connection.sent) == 2)
        changed, really = connection.sent
        assert follows(changed, "client.PriceChanged")
        assert follows(really, "client.Really")
        bench.receive(connection, type=3, invocationId=really["invocationId"], result=True)
    answer = await bench.completion(connection)
    assert follows(answer, f"{target}.completion")
    assert ("error" not in answer) is good


async def test_streams_follow_the_document() -> None:
    """Items and ends of both kinds of streams."""
    bench = HubBench(ShopHub)
    connection = await bench.connect()
    price = {"amountMinor": 3}
    item = {"type": 2, "invocationId": "s", "item": price}
    called = {**call("Totals"), "type": 4, "streamIds": ["s"]}
    assert follows(called, "Totals")
    assert follows(item, "Totals.prices")
    bench.receive(connection, **called)
    bench.receive(connection, **item)
    bench.receive(connection, type=3, invocationId="s")
    end = await bench.completion(connection)
    assert follows(end, "Totals.completion")
    assert connection.sent == [{"type": 2, "invocationId": "1", "item": 3}]
    assert follows(connection.sent[0], "Totals.item")
    assert await streamed(bench, connection)


async def streamed(bench: HubBench[Any], connection: RecordingConnection) -> bool:
    """Prices, as their schema has them: renamed, with nulls and enums."""
    connection.sent.clear()
    bench.stream(connection, "Prices", ["apple"])
    await bench.completion(connection)
    (item,) = connection.sent
    assert item["item"]["colour"] == Colour.RED.value
    return follows(item, "Prices.item")


def test_two_types_of_one_name_are_refused() -> None:
    """What is made would mix them up, so their author is asked to rename one."""

    def price() -> type:
        import msgspec

        return msgspec.defstruct("Price", [("other", int)])

    from tests.unit.signalr.shop import Price

    other: Any = price()

    async def confuse(self: Hub, one: Any) -> None: ...

    confuse.__annotations__ = {"one": Price, "return": other}
    confusing = type("Confusing", (Hub,), {"confuse": confuse})
    for make in (asyncapi, python_client, typescript):
        with pytest.raises(ConfigError, match="would both be called Price"):
            make(describe_hub(confusing))


def test_a_hub_without_methods_can_be_described() -> None:
    """Even the empty hub gives whole documents."""

    class Empty(Hub):
        pass

    described = describe_hub(Empty)
    assert asyncapi(described)["operations"] == {}
    assert "class EmptyClient" in python_client(described)
    assert "export class EmptyClient" in typescript(described)
