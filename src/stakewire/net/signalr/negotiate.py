"""Negotiation's answers (TransportProtocols.md, "POST [endpoint-base]/negotiate")."""

from __future__ import annotations

from collections.abc import Callable

from stakewire.net.signalr.auth import Principal
from stakewire.net.signalr.registry import Registry
from stakewire.net.signalr.request import HubRequest
from stakewire.wire.signalr.errors import NegotiateRefused
from stakewire.wire.signalr.negotiate import (
    Negotiation,
    Redirect,
    Transport,
    choose_version,
    offered,
    write_negotiation,
    write_refusal,
)

ChooseServer = Callable[[HubRequest, Principal], Redirect | None]
"""Sends a client to another server, with a token for it if it needs one; None keeps it here."""


class Negotiator:
    """Makes connections, or sends clients elsewhere."""

    __slots__ = ("_choose_server", "_registry", "_transports")

    def __init__(self, registry: Registry, choose_server: ChooseServer | None) -> None:
        self._registry = registry
        self._choose_server = choose_server
        self._transports = offered(Transport(name) for name in registry.options.transports)

    def answer(self, request: HubRequest, principal: Principal) -> bytes:
        """The body of the 200; what a client did wrong is said in it, as `error`."""
        try:
            version = choose_version(request.parameter("negotiateVersion"))
        except NegotiateRefused as refused:
            return write_refusal(refused.message)
        if self._choose_server is not None:
            elsewhere = self._choose_server(request, principal)
            if elsewhere is not None:
                return write_negotiation(elsewhere)
        stateful = self._registry.options.stateful_reconnect and _true(request, "useStatefulReconnect")
        connection = self._registry.negotiated(principal, version=version, stateful=stateful)
        return write_negotiation(
            Negotiation(
                connection_id=connection.id,
                connection_token=connection.token if version else None,
                transports=self._transports,
                use_stateful_reconnect=stateful,
            )
        )


def _true(request: HubRequest, name: str) -> bool:
    return (request.parameter(name) or "").lower() == "true"
