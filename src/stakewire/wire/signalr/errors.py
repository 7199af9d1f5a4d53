"""What can be wrong with what is said in SignalR.

InvalidInput
├── ProtocolError          the peer broke the protocol: close the connection
│   ├── MessageTooLarge    a message exceeds the bound
│   ├── HandshakeRefused   the text goes back in the handshake's answer
│   └── NegotiateRefused   the text goes back in negotiate's answer (HTTP 200)
├── BadArgument            one value has the wrong shape: only its invocation fails
└── NotWritable            a message of ours cannot be said in this protocol: our own fault
"""

from __future__ import annotations

from stakewire.errors import InvalidInput


class ProtocolError(InvalidInput):
    """The peer said what the protocol forbids; the text quotes nothing of ours and may go to the peer."""

    default_code = "HUB_PROTOCOL_ERROR"


class MessageTooLarge(ProtocolError):
    """A message is longer than the bound; nothing of it was kept."""

    default_code = "HUB_MESSAGE_TOO_LARGE"


class HandshakeRefused(ProtocolError):
    """The handshake asks for what is not there; the text is the `error` of the answer."""

    default_code = "HUB_HANDSHAKE_REFUSED"


class NegotiateRefused(ProtocolError):
    """Negotiation failed; the text is, or was, the `error` of the answer."""

    default_code = "HUB_NEGOTIATE_REFUSED"


class BadArgument(InvalidInput):
    """An argument, item or result is not of the type wanted; the text is for our log."""

    default_code = "HUB_BAD_ARGUMENT"


class NotWritable(InvalidInput):
    """A value of ours cannot be encoded; the text names its type."""

    default_code = "HUB_NOT_WRITABLE"
