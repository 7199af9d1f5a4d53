"""The handshake (HubProtocol.md, "Overview"): JSON ended by 0x1E whatever the protocol, both ends."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

import msgspec

from stakewire.wire.signalr.errors import HandshakeRefused, ProtocolError
from stakewire.wire.signalr.protocol import PROTOCOLS, HubProtocol
from stakewire.wire.signalr.splitters import SEPARATOR

MAX_HANDSHAKE: Final = 4096
"""Bytes; the longest that any client sends is below 60."""
VERSIONS: Final = range(3)
"""1 everywhere, 2 with stateful reconnect; signalrcore sends the negotiate version, so 0 when that was 0."""


class HandshakeRequest(msgspec.Struct, frozen=True, gc=False):
    """What the client asks for, first of all."""

    protocol: str
    version: int


class HandshakeAnswer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The server's answer; no error means that hub messages may follow."""

    error: str | None = None


class _Answer(msgspec.Struct, gc=False):
    error: str | None = None
    type: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_ENCODER: Final = msgspec.json.Encoder()
_REQUEST: Final = msgspec.json.Decoder(HandshakeRequest)
_ANSWER: Final = msgspec.json.Decoder(_Answer)


def write_request(request: HandshakeRequest) -> bytes:
    """What a client sends first."""
    return _ENCODER.encode(request) + SEPARATOR


def read_request(buffer: bytes) -> tuple[HandshakeRequest, bytes] | None:
    """The request at the start of all bytes received so far, and what follows it; None: it is incomplete.

    Raises:
        ProtocolError: it is none, or longer than `MAX_HANDSHAKE`.
    """
    parts = _cut(buffer)
    if parts is None:
        return None
    try:
        return _REQUEST.decode(parts[0]), parts[1]
    except (ValueError, RecursionError):
        raise ProtocolError("the handshake is an object with a protocol and a version") from None


def choose_protocol(request: HandshakeRequest, transfer_formats: Container[str]) -> HubProtocol:
    """The protocol asked for, if there is one and the transport carries it ("Text", "Binary").

    Raises:
        HandshakeRefused: with the text that the .NET server answers with.
    """
    protocol = PROTOCOLS.get(request.protocol)
    name = request.protocol[:64]
    if protocol is None:
        raise HandshakeRefused(f"The protocol '{name}' is not supported.")
    if request.version not in VERSIONS:
        raise HandshakeRefused(
            f"The server does not support version {request.version} of the '{name}' protocol."
        )
    if protocol.transfer_format not in transfer_formats:
        raise HandshakeRefused(
            f"Cannot use the '{name}' protocol on the current transport. The transport does not support "
            f"'{protocol.transfer_format}' transfer format."
        )
    return protocol


def write_answer(error: str | None = None) -> bytes:
    """What a server answers; after an error it closes."""
    return _ENCODER.encode(HandshakeAnswer(error)) + SEPARATOR


def read_answer(buffer: bytes) -> tuple[HandshakeAnswer, bytes] | None:
    """The answer at the start of all bytes received so far, and what follows it; None: it is incomplete.

    Raises:
        ProtocolError: it is none (a hub message, say), or longer than `MAX_HANDSHAKE`.
    """
    parts = _cut(buffer)
    if parts is None:
        return None
    try:
        answer = _ANSWER.decode(parts[0])
    except (ValueError, RecursionError):
        raise ProtocolError("the handshake's answer is an object with an error or nothing") from None
    if answer.type is not msgspec.UNSET:
        raise ProtocolError("a handshake's answer was due, and a hub message came")
    return HandshakeAnswer(answer.error), parts[1]


def _cut(buffer: bytes) -> tuple[bytes, bytes] | None:
    end = buffer.find(SEPARATOR, 0, MAX_HANDSHAKE + 1)
    if end >= 0:
        return buffer[:end], buffer[end + 1 :]
    if len(buffer) > MAX_HANDSHAKE:
        raise ProtocolError(f"a handshake is at most {MAX_HANDSHAKE} bytes")
    return None
