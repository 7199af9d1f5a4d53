"""Hub protocols: how messages become bytes and back (HubProtocol.md)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec

from stakewire.wire.signalr.json_codec import JsonProtocol
from stakewire.wire.signalr.messagepack_codec import MessagePackProtocol
from stakewire.wire.signalr.messages import HubMessage
from stakewire.wire.signalr.splitters import Splitter


class HubProtocol(Protocol):
    """One of the encodings, without state.

    Attributes:
        name: as in the handshake: "json" or "messagepack".
        transfer_format: as in negotiate: "Text" or "Binary"; which WebSocket frames carry it.
    """

    @property
    def name(self) -> str: ...

    @property
    def transfer_format(self) -> str: ...

    def write(self, message: HubMessage) -> bytes:
        """The whole message, with its separator or length prefix.

        Raises:
            NotWritable: a value in it has no form in this protocol.
        """
        ...

    def parse(self, record: bytes) -> HubMessage | None:
        """One record as the splitter gives it; None for a type that we do not know, which is to be ignored.

        Arguments, items and results stay `msgspec.Raw`, which hold on to the record.

        Raises:
            ProtocolError: it is no message.
        """
        ...

    def splitter(self, max_message: int) -> Splitter:
        """A fresh splitter; `max_message` bounds a record in bytes."""
        ...

    def decode(self, raw: msgspec.Raw, type: Any) -> Any:  # noqa: A002 - the word that msgspec uses
        """The value inside an argument, item or result, checked against a type that msgspec knows.

        Raises:
            BadArgument: it is not of that type.
        """
        ...


JSON: Final[HubProtocol] = JsonProtocol()
MESSAGEPACK: Final[HubProtocol] = MessagePackProtocol()
PROTOCOLS: Final[Mapping[str, HubProtocol]] = MappingProxyType(
    {protocol.name: protocol for protocol in (JSON, MESSAGEPACK)}
)
"""By their names in the handshake."""
