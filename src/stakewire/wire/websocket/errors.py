"""How a peer breaks the rules of a WebSocket.

InvalidInput
├── WebSocketError    on an open WebSocket: fail it with `close_code`
└── UpgradeRefused    before there is one: answer with the HTTP status `status`
"""

from __future__ import annotations

from enum import IntEnum

from stakewire.errors import InvalidInput


class CloseCode(IntEnum):
    """Close codes that we send or look for (RFC 6455 section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005
    """Never on the wire: the peer's Close frame was empty."""
    ABNORMAL = 1006
    """Never on the wire: the connection ended without a Close frame."""
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013


class WebSocketError(InvalidInput):
    """The peer broke a rule or a limit; the connection must be failed (RFC 6455 section 7.1.7).

    Attributes:
        close_code: what goes into our Close frame.
        message: its reason, at most 123 bytes; says nothing of our inside.
    """

    default_code = "WEBSOCKET_ERROR"

    def __init__(self, close_code: int, message: str) -> None:
        super().__init__(message)
        self.close_code = close_code


class UpgradeRefused(InvalidInput):
    """The request asks for a WebSocket in a wrong way (RFC 6455 section 4.2.1).

    Attributes:
        status: HTTP status of the answer: 400, or 426 for another version.
        headers: headers the answer must carry.
    """

    default_code = "UPGRADE_REFUSED"

    def __init__(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
