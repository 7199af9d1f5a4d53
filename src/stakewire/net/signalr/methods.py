"""A hub class read once: its methods, their parameters and results, as values.

The dispatcher calls by them; `describe` writes AsyncAPI, TypeScript and Python clients from them.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, get_args, get_origin, get_type_hints

import msgspec

from stakewire.errors import ConfigError
from stakewire.net.signalr.hub import NAME_MARK, POLICIES_MARK, Hub, Policy

_STREAMS: Final = (AsyncIterator, AsyncIterable, AsyncGenerator)
_NOT_CALLABLE: Final = {"on_connected", "on_disconnected"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a hub method; `type` is that of the items where it is a stream."""

    name: str
    type: Any
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HubMethod:
    """What the wire needs to know of a method.

    Attributes:
        name: its name on the wire.
        attribute: its name in the hub class.
        parameters: what comes in `arguments`, in order.
        streams: what comes as client streams, in the order of `streamIds` (section "Streaming from client").
        result: the type of the result, or of each item of a streaming method.
        streaming: it answers with a stream of items.
        is_generator: calling it gives the iterator at once; otherwise the call is awaited first.
        policies: who may call it, besides the class's own policies.
        doc: its docstring.
        positions: for each parameter of the function whether it is a stream.
    """

    name: str
    attribute: str
    parameters: tuple[Parameter, ...]
    streams: tuple[Parameter, ...]
    result: Any
    streaming: bool
    is_generator: bool
    policies: tuple[Policy, ...]
    doc: str
    positions: tuple[bool, ...]

    @property
    def required(self) -> int:
        """How many arguments a caller must send."""
        return sum(parameter.required for parameter in self.parameters)


@dataclass(frozen=True, slots=True)
class HubDescription:
    """A hub class as the wire sees it.

    Attributes:
        hub: the class.
        methods: what clients may call, in the order of definition.
        client_methods: what the hub says it calls on its clients; empty where it does not say.
        policies: who may connect.
    """

    hub: type[Hub]
    methods: tuple[HubMethod, ...]
    client_methods: tuple[HubMethod, ...]
    policies: tuple[Policy, ...]

    def lookup(self) -> Mapping[str, HubMethod]:
        """The methods by their name in lower case, since targets are matched whatever their case."""
        return {method.name.lower(): method for method in self.methods}


def describe_hub(hub: type[Hub]) -> HubDescription:
    """Read a hub class.

    Raises:
        ConfigError: a public method cannot be offered to clients as it is written; the text says why.
    """
    client = hub.client_methods
    return HubDescription(
        hub,
        _methods_of(hub, Hub),
        () if client is None else _methods_of(client, object),
        getattr(hub, POLICIES_MARK, ()),
    )


def _methods_of(cls: type, base: type) -> tuple[HubMethod, ...]:
    found = [_describe(cls, name, function) for name, function in _public(cls, base)]
    taken: dict[str, HubMethod] = {}
    for method in found:
        other = taken.setdefault(method.name.lower(), method)
        if other is not method:
            raise ConfigError(
                f"{cls.__name__}.{method.attribute} and {cls.__name__}.{other.attribute} are both called"
                f" {method.name!r} on the wire; give one of them another name with @method"
            )
    return tuple(found)


def _public(cls: type, base: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions that clients could call: of the class and its parents below `base`, parents first."""
    names: dict[str, None] = {}
    passed_over = {*base.__mro__, Protocol, Generic}
    for parent in reversed(cls.__mro__):
        if parent not in passed_over:
            names.update(dict.fromkeys(vars(parent)))
    for name in names:
        value = inspect.getattr_static(cls, name)
        if name.startswith("_") or name in _NOT_CALLABLE or not inspect.isfunction(value):
            continue
        yield name, value


def _describe(cls: type, attribute: str, function: Callable[..., Any]) -> HubMethod:
    where = f"{cls.__name__}.{attribute}"
    is_generator = inspect.isasyncgenfunction(function)
    if not is_generator and not inspect.iscoroutinefunction(function):
        raise ConfigError(
            f"{where} is public and no `async def`: write `async def` to let clients call it, or begin its"
            " name with an underscore"
        )
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigError(f"{where}: an annotation names what its module does not know ({error})") from error
    plain, streams, positions = _parameters(where, function, hints)
    if "return" not in hints:
        raise ConfigError(f"{where} does not say what it returns; annotate it, with `-> None` for nothing")
    result = hints["return"]
    streaming = get_origin(result) in _STREAMS
    result = get_args(result)[0] if streaming else result
    _check_type(result, f"{where}: its result")
    return HubMethod(
        name=getattr(function, NAME_MARK, None) or wire_name(attribute),
        attribute=attribute,
        parameters=plain,
        streams=streams,
        result=result,
        streaming=streaming,
        is_generator=is_generator,
        policies=getattr(function, POLICIES_MARK, ()),
        doc=inspect.getdoc(function) or "",
        positions=positions,
    )


def _parameters(
    where: str, function: Callable[..., Any], hints: Mapping[str, Any]
) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...], tuple[bool, ...]]:
    plain: list[Parameter] = []
    streams: list[Parameter] = []
    positions: list[bool] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        name = parameter.name
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise ConfigError(f"{where}: `{name}` cannot be sent; only positional parameters can")
        if name not in hints:
            raise ConfigError(f"{where}: `{name}` has no annotation; arguments are decoded by their types")
        kind, required = hints[name], parameter.default is parameter.empty
        is_stream = get_origin(kind) in _STREAMS
        kind = get_args(kind)[0] if is_stream else kind
        _check_type(kind, f"{where}: `{name}`")
        if is_stream and not required:
            raise ConfigError(f"{where}: `{name}` is a stream, and a stream has no default")
        (streams if is_stream else plain).append(Parameter(name, kind, required))
        positions.append(is_stream)
    return tuple(plain), tuple(streams), tuple(positions)


def _check_type(kind: Any, what: str) -> None:
    """Ask msgspec now: it would otherwise refuse at the first call."""
    if kind is type(None):
        return
    try:
        msgspec.json.Decoder(kind)
        msgspec.inspect.type_info(kind)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what} is of a type that cannot be sent: {error}") from error


def wire_name(attribute: str) -> str:
    """`send_message` -> `SendMessage`, as .NET and the stock clients write names."""
    return "".join(word[:1].upper() + word[1:] for word in attribute.split("_"))
