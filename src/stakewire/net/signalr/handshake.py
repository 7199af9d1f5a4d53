"""The first words of a client, gathered until they are complete (HubProtocol.md, "Overview")."""

from __future__ import annotations

from collections.abc import Collection

from stakewire.wire.signalr.errors import HandshakeRefused, ProtocolError
from stakewire.wire.signalr.handshake import MAX_HANDSHAKE, choose_protocol, read_request
from stakewire.wire.signalr.protocol import HubProtocol

CANCELED = "Handshake was canceled."
"""What a client is told whose handshake is too long, or takes too long; the words are .NET's."""


class Handshake:
    """Lives from a connection's first transport until the client has named its protocol."""

    __slots__ = ("_buffer", "_protocols", "_transfer_formats")

    def __init__(self, protocols: Collection[str], transfer_formats: Collection[str]) -> None:
        """Say what may be asked for: names of hub protocols, and what the transport carries."""
        self._buffer = b""
        self._protocols = protocols
        self._transfer_formats = transfer_formats

    def feed(self, data: bytes) -> tuple[HubProtocol, int, bytes] | None:
        """The protocol, the version and the bytes that follow, once they are known.

        Raises:
            HandshakeRefused: its text is the answer, after which the connection ends.
        """
        self._buffer += data
        try:
            asked = read_request(self._buffer)
        except ProtocolError as error:
            raise HandshakeRefused(CANCELED if len(self._buffer) > MAX_HANDSHAKE else error.message) from None
        if asked is None:
            return None
        request, rest = asked
        if request.protocol not in self._protocols:
            raise HandshakeRefused(f"The protocol '{request.protocol[:64]}' is not supported.")
        return choose_protocol(request, self._transfer_formats), request.version, rest
