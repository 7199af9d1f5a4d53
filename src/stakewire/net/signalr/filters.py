"""Filters: code around every invocation, connect and disconnect of a hub."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from stakewire.net.signalr.hub import Hub, HubContext
from stakewire.net.signalr.methods import HubMethod


class InvocationContext:
    """One call of a hub method, as filters see it: authorised, its arguments decoded.

    Attributes:
        hub: the instance made for this call.
        method: what is called.
        arguments: the values it is called with, client streams included; a filter may replace them.
    """

    __slots__ = ("arguments", "hub", "method")

    def __init__(self, hub: Hub, method: HubMethod, arguments: list[Any]) -> None:
        self.hub = hub
        self.method = method
        self.arguments = arguments

    @property
    def context(self) -> HubContext:
        """The caller's connection."""
        return self.hub.context


Next = Callable[[InvocationContext], Awaitable[Any]]
"""Calls what comes after a filter; gives the method's result, or the iterator of a streaming method."""

Filter = Callable[[InvocationContext, Next], Awaitable[Any]]
"""Goes around an invocation. `HubFilter` is one that can go around connect and disconnect as well."""


Proceed = Callable[[], Awaitable[None]]
"""Calls what comes after a filter around connect or disconnect."""


class HubFilter:
    """A filter with all three ways in; override those that are wanted."""

    async def __call__(self, invocation: InvocationContext, proceed: Next) -> Any:
        """Around an invocation: raise to refuse it, or give what the caller is to have."""
        return await proceed(invocation)

    async def on_connected(self, hub: Hub, proceed: Proceed) -> None:
        """Around `Hub.on_connected`: raising refuses the connection."""
        await proceed()

    async def on_disconnected(self, hub: Hub, error: str | None, proceed: Proceed) -> None:
        """Around `Hub.on_disconnected`."""
        await proceed()


async def call_method(invocation: InvocationContext) -> Any:
    """The innermost step: the method itself."""
    call = getattr(invocation.hub, invocation.method.attribute)(*invocation.arguments)
    return call if invocation.method.is_generator else await call


def around_invocations(filters: Sequence[Filter]) -> Next:
    """All filters around the method, the first one outermost."""
    step: Next = call_method
    for one in reversed(filters):
        step = partial(_pass, one, step)
    return step


async def run_connected(filters: Sequence[Filter], hub: Hub) -> None:
    """`on_connected` inside the filters that care for it."""
    step: Proceed = hub.on_connected
    for one in reversed(filters):
        if isinstance(one, HubFilter):
            step = partial(one.on_connected, hub, step)
    await step()


async def run_disconnected(filters: Sequence[Filter], hub: Hub, error: str | None) -> None:
    """`on_disconnected` inside the filters that care for it."""
    step: Proceed = partial(hub.on_disconnected, error)
    for one in reversed(filters):
        if isinstance(one, HubFilter):
            step = partial(one.on_disconnected, hub, error, step)
    await step()


def _pass(one: Filter, step: Next, invocation: InvocationContext) -> Awaitable[Any]:
    return one(invocation, step)
