"""Hub instances, and what is called on them: methods, `on_connected`, `on_disconnected`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import structlog

from stakewire.net.signalr.calls import Denied, WrongCall, bind, check_policies, error_text, refusal_text
from stakewire.net.signalr.clients import CallerClients, Post
from stakewire.net.signalr.connection import HubConnection
from stakewire.net.signalr.filters import (
    Filter,
    HubFilter,
    InvocationContext,
    around_invocations,
    run_connected,
    run_disconnected,
)
from stakewire.net.signalr.groups import Groups
from stakewire.net.signalr.hub import Hub, HubContext, HubError, Policy
from stakewire.net.signalr.methods import HubMethod
from stakewire.net.signalr.streams import ClientStream
from stakewire.wire.signalr.messages import Invocation, StreamInvocation

log = structlog.get_logger("stakewire.net.signalr")

H = TypeVar("H", bound=Hub)


class Invoker(Generic[H]):
    """Makes an instance of the hub for each call, and calls it inside the filters, the first one outermost.

    Attributes:
        cares_for_connect: there is something to do when a client connects.
        cares_for_disconnect: there is something to do when a connection has ended.
    """

    def __init__(
        self,
        hub: type[H],
        *,
        provide: Callable[[type[H]], H],
        policies: Sequence[Policy],
        filters: Sequence[Filter],
        post: Post,
        groups: Groups,
        detailed_errors: bool,
    ) -> None:
        self._hub = hub
        self._provide = provide
        self._policies = policies
        self._filters = filters
        self._call_filtered = around_invocations(filters)
        self._post = post
        self._groups = groups
        self._detailed_errors = detailed_errors
        around = [type(one) for one in filters if isinstance(one, HubFilter)]
        self.cares_for_connect = (
            bool(policies)
            or hub.on_connected is not Hub.on_connected
            or any(one.on_connected is not HubFilter.on_connected for one in around)
        )
        self.cares_for_disconnect = hub.on_disconnected is not Hub.on_disconnected or any(
            one.on_disconnected is not HubFilter.on_disconnected for one in around
        )

    async def call(
        self,
        connection: HubConnection,
        method: HubMethod,
        message: Invocation | StreamInvocation,
        uploads: Sequence[ClientStream],
    ) -> Any:
        """Call a method; gives its result, or the iterator of a streaming one.

        Raises:
            Denied: a policy of the method said no.
            WrongCall: the arguments do not fit.
            Exception: whatever the method raises.
        """
        hub = self._new_hub(connection)
        if method.policies:
            await check_policies(method.policies, hub.context)
        arguments = bind(method, connection.protocol, message.arguments, uploads)
        return await self._call_filtered(InvocationContext(hub, method, arguments))

    async def connect(self, connection: HubConnection, enter: Callable[[HubConnection], None]) -> bool:
        """Ask policies, `enter`, and call `on_connected`; False if the connection was refused and closed.

        Raises:
            Exception: what `on_connected` raises, but for HubError, whose text the client is closed with.
        """
        hub = self._new_hub(connection)
        try:
            await check_policies(self._policies, hub.context)
            enter(connection)
            await run_connected(self._filters, hub)
        except (HubError, Denied) as refusal:
            connection.close(refusal_text(refusal))
            return False
        return True

    async def disconnect(self, connection: HubConnection, error: str | None) -> None:
        """Call `on_disconnected`; nobody is left to be told what it raises."""
        try:
            await run_disconnected(self._filters, self._new_hub(connection), error)
        except Exception:
            log.exception("on_disconnected failed", connection=connection.id)

    def told(self, connection: HubConnection, method: HubMethod, failure: Exception) -> str:
        """What the client is told of a failed call; the log has the rest."""
        if isinstance(failure, HubError | Denied | WrongCall):
            log.debug("hub method refused", method=method.name, connection=connection.id)
        else:
            log.error("hub method failed", method=method.name, connection=connection.id, exc_info=failure)
        return error_text(method, failure, detailed=self._detailed_errors)

    def _new_hub(self, connection: HubConnection) -> Hub:
        hub = self._provide(self._hub)
        hub.context = HubContext(connection)
        hub.clients = CallerClients(self._post, connection.id)
        hub.groups = self._groups
        return hub
