"""The types that a hub's methods speak of, and the names under which others know them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias, get_args, get_origin

from msgspec import inspect as mi

from stakewire.errors import ConfigError
from stakewire.net.signalr.methods import HubDescription, HubMethod, Parameter

Shape: TypeAlias = mi.StructType | mi.DataclassType | mi.TypedDictType | mi.NamedTupleType
"""Types with fields: objects on the wire, or arrays (see `is_array`)."""

Named: TypeAlias = Shape | mi.EnumType
"""Types that have a name of their own in what is generated."""

_SHAPES = (mi.StructType, mi.DataclassType, mi.TypedDictType, mi.NamedTupleType)


class Catalogue:
    """Every type of a hub, resolved; named ones in the order in which the methods mention them.

    Attributes:
        named: by the name that they get.
    """

    def __init__(self, hub: HubDescription) -> None:
        """Walk through all methods.

        Raises:
            ConfigError: two types would get one name.
        """
        kinds = [kind for method in (*hub.methods, *hub.client_methods) for kind in types_of(method)]
        self.named: dict[str, Named] = {}
        self._infos = dict(zip(kinds, mi.multi_type_info(kinds), strict=True)) if kinds else {}
        for info in self._infos.values():
            self._collect(info)

    def info(self, kind: Any) -> mi.Type:
        """What msgspec knows of a type that a method mentions."""
        info: mi.Type = self._infos[kind]
        return info

    def _collect(self, info: mi.Type) -> None:
        if isinstance(info, (*_SHAPES, mi.EnumType)):
            name = name_of(info)
            known = self.named.setdefault(name, info)
            if known is not info:
                if known.cls != info.cls:
                    raise ConfigError(f"{known.cls} and {info.cls} would both be called {name}; rename one")
                return
            if isinstance(info, mi.EnumType):
                return
        for part in _parts(info):
            if not (isinstance(part, (*_SHAPES, mi.EnumType)) and self.named.get(name_of(part)) is part):
                self._collect(part)


def types_of(method: HubMethod) -> Iterator[Any]:
    """Every type that a method mentions."""
    for parameter in (*method.parameters, *method.streams):
        yield parameter.type
    yield method.result


def in_order(method: HubMethod) -> list[tuple[Parameter, bool]]:
    """The parameters as the function has them, each with whether it is a stream."""
    parameters, streams = iter(method.parameters), iter(method.streams)
    return [(next(streams if is_stream else parameters), is_stream) for is_stream in method.positions]


def name_of(info: Named) -> str:
    """`Bet`; a generic one with its arguments behind: `Page[Bet]` is `PageBet`."""
    return _class_name(info.cls)


def _class_name(cls: Any) -> str:
    origin = get_origin(cls)
    if origin is None:
        return re.sub(r"\W", "", getattr(cls, "__name__", None) or str(cls))
    return _class_name(origin) + "".join(map(_class_name, get_args(cls)))


def is_array(info: Shape) -> bool:
    """Its fields are an array on the wire, in order, and not an object."""
    return isinstance(info, mi.NamedTupleType) or (isinstance(info, mi.StructType) and info.array_like)


def tag_of(info: Shape) -> tuple[str, str | int] | None:
    """The field that tells this type from others of a union, and what it holds; None without one."""
    if isinstance(info, mi.StructType) and info.tag_field is not None and info.tag is not None:
        return info.tag_field, info.tag
    return None


def plain(info: mi.Type) -> mi.Type:
    """The type without what only describes it."""
    while isinstance(info, mi.Metadata):
        info = info.type
    return info


def _parts(info: mi.Type) -> Iterator[mi.Type]:
    """The types inside a type."""
    match info:
        case mi.Metadata():
            yield info.type
        case mi.UnionType():
            yield from info.types
        case mi.TupleType():
            yield from info.item_types
        case mi.DictType():
            yield info.key_type
            yield info.value_type
        case mi.StructType() | mi.DataclassType() | mi.TypedDictType() | mi.NamedTupleType():
            yield from (field.type for field in info.fields)
        case _:
            item = getattr(info, "item_type", None)
            if item is not None:
                yield item
