"""One call of a hub method: who may, with which arguments, and what its failure is told as.

The texts are those of ASP.NET Core, which stock clients show to people and some compare
(`HubProtocol.md`; DefaultHubDispatcher of the .NET server).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from stakewire.net.signalr.hub import HubContext, HubError, Policy
from stakewire.net.signalr.methods import HubMethod
from stakewire.net.signalr.streams import ClientStream
from stakewire.wire.signalr.errors import BadArgument

if TYPE_CHECKING:
    from stakewire.wire.signalr.protocol import HubProtocol


class Denied(Exception):
    """A policy said no."""


class WrongCall(Exception):
    """The call does not fit the method; the text is for `detailed_errors`."""


async def check_policies(policies: Iterable[Policy], context: HubContext) -> None:
    """Ask each policy in turn.

    Raises:
        Denied: one of them said no.
    """
    for policy in policies:
        verdict = policy(context)
        if not (await verdict if isawaitable(verdict) else verdict):
            raise Denied


def bind(
    method: HubMethod, protocol: HubProtocol, arguments: Sequence[Any], uploads: Iterable[ClientStream]
) -> list[Any]:
    """The values to call a method with: decoded arguments, and streams in the places of stream parameters.

    Raises:
        WrongCall: too few or too many arguments, or one of another type.
    """
    if not method.required <= len(arguments) <= len(method.parameters):
        raise WrongCall(
            f"Invocation provides {len(arguments)} argument(s) but target expects {len(method.parameters)}."
        )
    values: list[Any] = []
    streams, given = iter(uploads), zip(arguments, method.parameters, strict=False)
    for is_stream in method.positions:
        if is_stream:
            values.append(next(streams))
            continue
        pair = next(given, None)
        if pair is None:
            break  # what is left out has defaults, and no stream follows those
        argument, parameter = pair
        try:
            values.append(protocol.decode(argument, parameter.type))
        except BadArgument as error:
            raise WrongCall(f"Argument '{parameter.name}': {error}") from error
    return values


def error_text(method: HubMethod, error: Exception, *, detailed: bool) -> str:
    """What the caller is told of a failed call; of an exception only what it may say."""
    name = method.name
    if isinstance(error, Denied):
        return f"Failed to invoke '{name}' because user is unauthorized"
    if isinstance(error, WrongCall):
        text = f"Failed to invoke '{name}' due to an error on the server."
        return f"{text} {error}" if detailed else text
    text = f"An unexpected error occurred invoking '{name}' on the server."
    if isinstance(error, HubError):
        return f"{text} HubException: {error}"
    return f"{text} {type(error).__name__}: {error}" if detailed else text


def refusal_text(error: Exception) -> str:
    """What a client is told that a hub does not take."""
    text = "Connection closed with an error."
    return f"{text} HubException: {error}" if isinstance(error, HubError) else text


def unknown_method(target: str) -> str:
    """No method has this name."""
    return f"Unknown hub method '{target}'"


def wrong_kind(method: HubMethod) -> str:
    """A streaming method was invoked as a plain one, or the other way round."""
    mine, theirs = ("streaming", "non-streaming") if method.streaming else ("non-streaming", "streaming")
    return f"The client attempted to invoke the {mine} '{method.name}' method with a {theirs} invocation."
