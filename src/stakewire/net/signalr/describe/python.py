"""Python: a hub's types as structs, and a class over `stakewire.client.signalr.HubConnection`.

What is made needs nothing of the hub's own code, and passes `mypy --strict`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as mi

from stakewire.net.signalr.describe.types import (
    Catalogue,
    Named,
    Shape,
    in_order,
    is_array,
    name_of,
    plain,
    tag_of,
)
from stakewire.net.signalr.methods import HubDescription, HubMethod

_HEAD = '''"""Typed client of {hub}. Made from its methods by `stakewire hub describe`; do not edit."""

from __future__ import annotations

'''

_GIVEN = '''

def _given(*values: Any) -> list[Any]:
    """Leave out what was not given at the end: the hub has its own values for that."""
    given = [value for value in values if value is not msgspec.UNSET]
    if any(value is msgspec.UNSET for value in values[: len(given)]):
        raise TypeError("arguments can be left out at the end only")
    return given
'''

_TYPES: dict[type[mi.Type], str] = {
    mi.NoneType: "None",
    mi.BoolType: "bool",
    mi.IntType: "int",
    mi.FloatType: "float",
    mi.StrType: "str",
    mi.BytesType: "bytes",
    mi.ByteArrayType: "bytes",
    mi.MemoryViewType: "bytes",
    mi.DecimalType: "decimal.Decimal",
    mi.UUIDType: "uuid.UUID",
    mi.DateTimeType: "datetime.datetime",
    mi.DateType: "datetime.date",
    mi.TimeType: "datetime.time",
    mi.TimeDeltaType: "datetime.timedelta",
}
_LISTS: dict[type[mi.Type], str] = {
    mi.ListType: "list[{}]",
    mi.CollectionType: "list[{}]",
    mi.SetType: "set[{}]",
    mi.FrozenSetType: "frozenset[{}]",
    mi.VarTupleType: "tuple[{}, ...]",
}
_ABSTRACT = ("AsyncGenerator", "AsyncIterator", "Awaitable", "Callable")
_MODULES = ("datetime", "decimal", "enum", "uuid")


def python_client(hub: HubDescription) -> str:
    """A module with one class, `<Hub>Client`, and the types that it takes and gives.

    Raises:
        ConfigError: two types of the hub have one name.
    """
    catalogue = Catalogue(hub)
    body = [_declaration(name, info) for name, info in catalogue.named.items()]
    if any(method.required < len(method.parameters) for method in hub.methods):
        body.append(_GIVEN)
    body.append(_class(hub, catalogue))
    text = "".join(body)
    return _HEAD.format(hub=hub.hub.__name__) + _imports(text) + text


def _imports(text: str) -> str:
    lines = [f"import {module}\n" for module in _MODULES if f"{module}." in text]
    abstract = [name for name in _ABSTRACT if f"{name}[" in text]
    if abstract:
        lines.append(f"from collections.abc import {', '.join(abstract)}\n")
    typing = [name for name in ("Any", "Literal") if re.search(rf"\b{name}\b", text)]
    if typing:
        lines.append(f"from typing import {', '.join(typing)}\n")
    if "msgspec." in text:
        lines.append("\nimport msgspec\n")
    names = ["HubConnection"] + (["Registration"] if "Registration" in text else [])
    lines.append(f"\nfrom stakewire.client.signalr import {', '.join(names)}\n")
    return "".join(lines)


def _declaration(name: str, info: Named) -> str:
    if isinstance(info, mi.EnumType):
        members = "".join(f"    {member.name} = {_code(member.value)}\n" for member in info.cls)
        return f"\n\nclass {name}(enum.Enum):\n{members}"
    options = ["array_like=True" if is_array(info) else "kw_only=True", "frozen=True"]
    tag = tag_of(info)
    if tag:
        options.append(f"tag_field={_code(tag[0])}, tag={_code(tag[1])}")
    # Required fields of an array come first on the wire, too, so defaults never stand before them.
    fields = "".join(_field(field) for field in info.fields) or "    pass\n"
    doc = _doc(_shape_doc(info), "    ")
    head = f"\n\nclass {name}(msgspec.Struct, {', '.join(options)}):\n"
    return head + (f"{doc}\n" if doc else "") + fields


def _field(field: mi.Field) -> str:
    name, kind, settings = _name(field.name), _type(field.type), []
    if name != field.encode_name:
        settings.append(f"name={_code(field.encode_name)}")
    if not field.required:
        default = _default(field)
        if default is None:
            kind, default = f"{kind} | msgspec.UnsetType", "default=msgspec.UNSET"
        settings.append(default)
    value = f" = msgspec.field({', '.join(settings)})" if settings else ""
    return f"    {name}: {kind}{value}\n"


def _default(field: mi.Field) -> str | None:
    """The field's default as code; None if it is to be left out where nobody gives one."""
    if field.default_factory in (list, dict, set):
        return f"default_factory={field.default_factory.__name__}"
    if isinstance(field.default, bool | int | float | str | None):
        return f"default={_code(field.default)}"
    return None


def _class(hub: HubDescription, catalogue: Catalogue) -> str:
    methods = [_call(method, catalogue) for method in hub.methods]
    methods += [_event(method, catalogue) for method in hub.client_methods]
    return (
        f"\n\nclass {hub.hub.__name__}Client:\n{_doc(hub.hub.__doc__ or '', '    ')}"
        "\n    def __init__(self, connection: HubConnection) -> None:\n"
        "        self.connection = connection\n" + "".join(methods)
    )


def _call(method: HubMethod, catalogue: Catalogue) -> str:
    result = _type(catalogue.info(method.result))
    values = "".join(f", {_name(parameter.name)}" for parameter, _ in in_order(method))
    if method.required < len(method.parameters):
        values = f", *_given({values.removeprefix(', ')})"
    name, target = _name(method.attribute), _code(method.name)
    parameters = "".join(f", {one}" for one in _parameters(method, catalogue))
    doc = _doc(method.doc, "        ")
    if method.streaming:
        return (
            f"\n    def {name}(self{parameters}) -> AsyncGenerator[{result}, None]:\n{doc}"
            f"        return self.connection.stream({target}{values}, item={result})\n"
        )
    call = f"await self.connection.invoke({target}{values}, result={result})"
    body = (
        f"        {call}\n"
        if result == "None"
        else f"        _answer: {result} = {call}\n        return _answer\n"
    )
    return f"\n    async def {name}(self{parameters}) -> {result}:\n{doc}{body}"


def _event(method: HubMethod, catalogue: Catalogue) -> str:
    """A method that the hub calls on its clients: `on_...` takes a handler, plain or async."""
    kinds = [_type(catalogue.info(parameter.type)) for parameter in method.parameters]
    result = _type(catalogue.info(method.result))
    gives = "object" if result == "None" else f"{result} | Awaitable[{result}]"
    types = f"({', '.join(kinds)}{',' if len(kinds) == 1 else ''})"
    return (
        f"\n    def on_{method.attribute}("
        f"self, handler: Callable[[{', '.join(kinds)}], {gives}]) -> Registration:\n"
        f"{_doc(method.doc, '        ')}"
        f"        return self.connection.on({_code(method.name)}, handler, types={types})\n"
    )


def _parameters(method: HubMethod, catalogue: Catalogue) -> Iterator[str]:
    for parameter, is_stream in in_order(method):
        kind = _type(catalogue.info(parameter.type))
        if is_stream:
            yield f"{_name(parameter.name)}: AsyncIterator[{kind}]"
        elif parameter.required:
            yield f"{_name(parameter.name)}: {kind}"
        else:
            yield f"{_name(parameter.name)}: {kind} | msgspec.UnsetType = msgspec.UNSET"


def _type(info: mi.Type) -> str:
    info = plain(info)
    if isinstance(info, Shape | mi.EnumType):
        return name_of(info)
    if type(info) in _TYPES:
        return _TYPES[type(info)]
    match info:
        case mi.LiteralType():
            return f"Literal[{', '.join(map(_code, info.values))}]"
        case mi.UnionType():
            return " | ".join(dict.fromkeys(map(_type, info.types)))
        case mi.TupleType():
            return f"tuple[{', '.join(map(_type, info.item_types)) or '()'}]"
        case mi.DictType():
            return f"dict[{_type(info.key_type)}, {_type(info.value_type)}]"
    pattern = _LISTS.get(type(info))
    item: Any = getattr(info, "item_type", None)
    return "Any" if pattern is None else pattern.format(_type(item))


def _name(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) or name in ("self", "connection") else name


def _code(value: Any) -> str:
    return msgspec.json.encode(value).decode() if isinstance(value, str) else repr(value)


def _shape_doc(info: Shape) -> str:
    doc = getattr(info.cls, "__doc__", None) or ""
    name = getattr(info.cls, "__name__", "")
    return "" if doc.startswith(f"{name}(") else doc


def _doc(doc: str, indent: str) -> str:
    """The first paragraph of a docstring."""
    text = " ".join(doc.strip().split("\n\n")[0].split())
    text = text.replace("\\", "\\\\").replace('"""', "'''")
    return f'{indent}"""{text}"""\n' if text else ""
