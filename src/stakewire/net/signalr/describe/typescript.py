"""TypeScript: interfaces of a hub's types, and a class over `@microsoft/signalr`'s `HubConnection`.

Types are those of the JSON protocol: dates, decimals and bytes are texts there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from msgspec import inspect as mi

from stakewire.net.signalr.describe.types import Catalogue, Named, in_order, is_array, name_of, plain, tag_of
from stakewire.net.signalr.methods import HubDescription, HubMethod

_HEAD = """// Made from the hub's methods by `stakewire hub describe`; do not edit.

import type {{ {imports} }} from "@microsoft/signalr";
"""

_GIVEN = """
/** Leaves out what was not given at the end: the hub has its own values for that. */
function givenArguments(...values: unknown[]): unknown[] {
  while (values.length > 0 && values[values.length - 1] === undefined) values.pop();
  return values;
}
"""

_NUMBERS = (mi.IntType, mi.FloatType)
_TEXTS = (
    *(mi.StrType, mi.BytesType, mi.ByteArrayType, mi.MemoryViewType, mi.DecimalType, mi.UUIDType),
    *(mi.DateTimeType, mi.DateType, mi.TimeType, mi.TimeDeltaType),
)
_LISTS = (mi.ListType, mi.SetType, mi.FrozenSetType, mi.VarTupleType, mi.CollectionType)
_RESERVED = frozenset(
    (
        *("arguments", "await", "break", "case", "catch", "class", "connection", "const", "constructor"),
        *("continue", "debugger", "default", "delete", "do", "else", "enum", "eval", "export", "extends"),
        *("false", "finally", "for", "function", "if", "implements", "import", "in", "instanceof"),
        *("interface", "let", "new", "null", "package", "private", "protected", "public", "return"),
        *("static", "super", "switch", "this", "throw", "true", "try", "typeof", "var", "void", "while"),
        *("with", "yield"),
    )
)


def typescript(hub: HubDescription) -> str:
    """A module with one class, `<Hub>Client`, and the types that it takes and gives.

    Raises:
        ConfigError: two types of the hub have one name.
    """
    catalogue = Catalogue(hub)
    imports = ["HubConnection"]
    if any(method.streaming or method.streams for method in hub.methods):
        imports.append("IStreamResult")
    text = [_HEAD.format(imports=", ".join(imports))]
    text += [_declaration(name, info) for name, info in catalogue.named.items()]
    if any(method.required < len(method.parameters) for method in hub.methods):
        text.append(_GIVEN)
    text.append(f"\n{_comment(hub.hub.__doc__ or '', '')}export class {hub.hub.__name__}Client {{")
    text.append("\n  constructor(readonly connection: HubConnection) {}\n")
    text += [_call(method, catalogue) for method in hub.methods]
    text += [_event(method, catalogue) for method in hub.client_methods]
    return "".join(text) + "}\n"


def _declaration(name: str, info: Named) -> str:
    head = "\n" + _comment(_doc(info), "")
    if isinstance(info, mi.EnumType):
        values = " | ".join(json.dumps(member.value) for member in info.cls)
        return f"{head}export type {name} = {values};\n"
    tag = tag_of(info)
    if is_array(info):
        items = [json.dumps(tag[1])] if tag else []
        items += [_type(field.type) if field.required else f"({_type(field.type)})?" for field in info.fields]
        return f"{head}export type {name} = [{', '.join(items)}];\n"
    lines = [f"  {_key(tag[0])}: {json.dumps(tag[1])};\n"] if tag else []
    for field in info.fields:
        lines.append(f"  {_key(field.encode_name)}{'' if field.required else '?'}: {_type(field.type)};\n")
    return f"{head}export interface {name} {{\n{''.join(lines)}}}\n"


def _call(method: HubMethod, catalogue: Catalogue) -> str:
    parameters, result = _parameters(method, catalogue), _result(catalogue.info(method.result))
    values = [_name(parameter.name) for parameter, _ in in_order(method)]
    arguments = (
        f", ...givenArguments({', '.join(values)})" if method.required < len(method.parameters) else ""
    )
    arguments = arguments or "".join(f", {value}" for value in values)
    gives, verb = ("IStreamResult", "stream") if method.streaming else ("Promise", "invoke")
    name = _name(camel(method.attribute))
    head = f"  {name}({parameters}): {gives}<{result}> {{\n"
    return (
        f"\n{_comment(method.doc, '  ')}{head}"
        f"    return this.connection.{verb}<{result}>({json.dumps(method.name)}{arguments});\n  }}\n"
    )


def _event(method: HubMethod, catalogue: Catalogue) -> str:
    """A method that the hub calls on its clients: `on...` takes a handler and gives what removes it."""
    result = _result(catalogue.info(method.result))
    gives = "void | Promise<void>" if result == "void" else f"{result} | Promise<{result}>"
    name = json.dumps(method.name)
    return (
        f"\n{_comment(method.doc, '  ')}  on{_upper(camel(method.attribute))}"
        f"(handler: ({_parameters(method, catalogue)}) => {gives}): () => void {{\n"
        f"    this.connection.on({name}, handler);\n"
        f"    return () => this.connection.off({name}, handler);\n  }}\n"
    )


def _parameters(method: HubMethod, catalogue: Catalogue) -> str:
    written = []
    for parameter, is_stream in in_order(method):
        kind = _type(catalogue.info(parameter.type))
        kind = f"IStreamResult<{kind}>" if is_stream else kind
        written.append(f"{_name(parameter.name)}{'' if parameter.required else '?'}: {kind}")
    return ", ".join(written)


def _result(info: mi.Type) -> str:
    return "void" if isinstance(plain(info), mi.NoneType) else _type(info)


def _type(info: mi.Type) -> str:
    info = plain(info)
    if isinstance(
        info, mi.StructType | mi.DataclassType | mi.TypedDictType | mi.NamedTupleType | mi.EnumType
    ):
        return name_of(info)
    if isinstance(info, _NUMBERS):
        return "number"
    if isinstance(info, _TEXTS):
        return "string"
    if isinstance(info, _LISTS):
        item = _type(info.item_type)
        return f"({item})[]" if "|" in item else f"{item}[]"
    match info:
        case mi.NoneType():
            return "null"
        case mi.BoolType():
            return "boolean"
        case mi.LiteralType():
            return _union(map(json.dumps, info.values))
        case mi.UnionType():
            return _union(map(_type, info.types))
        case mi.TupleType():
            return f"[{', '.join(map(_type, info.item_types))}]"
        case mi.DictType():
            return f"{{ [key: string]: {_type(info.value_type)} }}"
        case _:
            return "unknown"


def _union(types: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(types))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name) else json.dumps(name)


def _name(name: str) -> str:
    name = camel(name)
    return f"{name}_" if name in _RESERVED else name


def camel(name: str) -> str:
    """`send_message` -> `sendMessage`."""
    first, *others = [word for word in name.split("_") if word] or [name]
    return first + "".join(map(_upper, others))


def _upper(word: str) -> str:
    return word[:1].upper() + word[1:]


def _doc(info: Named) -> str:
    doc = getattr(info.cls, "__doc__", None) or ""
    # Dataclasses, enums and named tuples get a text of Python's own where their author wrote none.
    name = getattr(info.cls, "__name__", "")
    return "" if doc.startswith((f"{name}(", "An enumeration.", "Alias for field")) else doc


def _comment(doc: str, indent: str) -> str:
    """The first paragraph of a docstring."""
    text = " ".join(doc.strip().split("\n\n")[0].split()).replace("*/", "* /")
    return f"{indent}/** {text} */\n" if text else ""
