"""Negotiation (TransportProtocols.md, "POST [endpoint-base]/negotiate"), both ends, versions 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from stakewire.wire.signalr.errors import NegotiateRefused, ProtocolError

NEWEST_VERSION: Final = 1


class Transport(Enum):
    """How a connection is carried, by the names on the wire."""

    WEB_SOCKETS = "WebSockets"
    SERVER_SENT_EVENTS = "ServerSentEvents"
    LONG_POLLING = "LongPolling"


TRANSFER_FORMATS: Final[Mapping[Transport, tuple[str, ...]]] = MappingProxyType(
    {
        Transport.WEB_SOCKETS: ("Text", "Binary"),
        Transport.SERVER_SENT_EVENTS: ("Text",),
        Transport.LONG_POLLING: ("Text", "Binary"),
    }
)
"""What each transport carries; MessagePack needs "Binary"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiation:
    """The server takes the client.

    Attributes:
        connection_id: in version 1 the connection's public name; in version 0 the handle, too.
        connection_token: in version 1 the secret handle; None in version 0.
        transports: with the formats each carries, in the order in which the client should try them.
        use_stateful_reconnect: the client asked for it and the server allows it.
    """

    connection_id: str
    connection_token: str | None
    transports: Mapping[Transport, tuple[str, ...]]
    use_stateful_reconnect: bool = False

    @property
    def version(self) -> int:
        """The negotiate version: 0 or 1."""
        return 0 if self.connection_token is None else 1

    @property
    def handle(self) -> str:
        """What goes into `?id=` of every later request."""
        return self.connection_id if self.connection_token is None else self.connection_token


@dataclass(frozen=True, slots=True)
class Redirect:
    """The client is to negotiate at `url`, with `access_token` as its bearer token if there is one."""

    url: str
    access_token: str | None = None


def offered(transports: Iterable[Transport]) -> dict[Transport, tuple[str, ...]]:
    """The transports named, in order, with all they carry."""
    return {transport: TRANSFER_FORMATS[transport] for transport in transports}


def choose_version(asked: str | None) -> int:
    """The version to answer with, for the `negotiateVersion` of the query; None: there was none.

    Raises:
        NegotiateRefused: it is no version.
    """
    if asked is None:
        return 0
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 9):
        raise NegotiateRefused("The client requested a negotiate version that is not a number.")
    return min(int(asked), NEWEST_VERSION)


class _Available(msgspec.Struct, rename="camel"):
    transport: str
    transfer_formats: tuple[str, ...]


class _Answer(msgspec.Struct, rename="camel", omit_defaults=True):
    """Every field of every answer."""

    negotiate_version: int | None = None
    connection_id: str | None = None
    connection_token: str | None = None
    available_transports: tuple[_Available, ...] = ()
    use_stateful_reconnect: bool = False
    url: str | None = None
    access_token: str | None = None
    error: str | None = None
    protocol_version: Any = msgspec.field(default=None, name="ProtocolVersion")


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Answer)


def write_negotiation(answer: Negotiation | Redirect) -> bytes:
    """The body of the answer, `application/json`."""
    if isinstance(answer, Redirect):
        return _ENCODER.encode(_Answer(url=answer.url, access_token=answer.access_token))
    available = (_Available(transport.value, formats) for transport, formats in answer.transports.items())
    return _ENCODER.encode(
        _Answer(
            negotiate_version=answer.version,
            connection_id=answer.connection_id,
            connection_token=answer.connection_token,
            available_transports=tuple(available),
            use_stateful_reconnect=answer.use_stateful_reconnect,
        )
    )


def write_refusal(error: str) -> bytes:
    """The body of an answer that fails the client's start with this text; its status is 200 all the same."""
    return _ENCODER.encode(_Answer(error=error))


def read_negotiation(body: bytes) -> Negotiation | Redirect:
    """What a server answered; transports that we do not know are left out, as are unknown fields.

    Raises:
        NegotiateRefused: the server said why not.
        ProtocolError: this is no answer of an ASP.NET Core SignalR server.
    """
    try:
        answer = _DECODER.decode(body)
    except (ValueError, RecursionError):
        raise ProtocolError("the answer to negotiate is no object of the known form") from None
    if answer.error is not None:
        raise NegotiateRefused(answer.error)
    if answer.protocol_version is not None:
        raise ProtocolError("the server speaks the older ASP.NET SignalR, which is another protocol")
    if answer.url is not None:
        return Redirect(answer.url, answer.access_token)
    if answer.connection_id is None:
        raise ProtocolError("the answer to negotiate has no connectionId")
    if answer.negotiate_version and answer.connection_token is None:
        raise ProtocolError("the answer to negotiate is of version 1 and has no connectionToken")
    return Negotiation(
        connection_id=answer.connection_id,
        connection_token=answer.connection_token if answer.negotiate_version else None,
        transports=_known(answer.available_transports),
        use_stateful_reconnect=answer.use_stateful_reconnect,
    )


def _known(available: Iterable[_Available]) -> dict[Transport, tuple[str, ...]]:
    names = {transport.value: transport for transport in Transport}
    return {names[one.transport]: one.transfer_formats for one in available if one.transport in names}
