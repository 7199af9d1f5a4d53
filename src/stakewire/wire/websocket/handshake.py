"""The upgrade from HTTP to WebSocket (RFC 6455 section 4) and the deflate offer (RFC 7692), server side."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from stakewire.wire.websocket.errors import UpgradeRefused

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""(name in lower case, value), in order of arrival."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DEFLATE: Final = b"permessage-deflate"
DEFLATE_ANSWER: Final = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
"""Neither end keeps a window between messages: frames can be shared, and an idle connection costs nothing."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request for a WebSocket that is in order.

    Attributes:
        accept: value of the answer's `Sec-WebSocket-Accept`.
        deflate: value of the answer's `Sec-WebSocket-Extensions`; None if no offer can be taken.
    """

    accept: bytes
    deflate: bytes | None


def accept_key(key: bytes) -> bytes:
    """`Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (section 4.2.2, step 5.4)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def check_upgrade(headers: Headers) -> Upgrade:
    """Whether a GET asks for a WebSocket properly (section 4.2.1).

    Raises:
        UpgradeRefused: 426 with the version we speak for any other; 400 for whatever else is wrong.
    """
    if b"websocket" not in _tokens(headers, b"upgrade"):
        raise UpgradeRefused(400, "the header Upgrade must name websocket")
    if b"upgrade" not in _tokens(headers, b"connection"):
        raise UpgradeRefused(400, "the header Connection must name upgrade")
    if _values(headers, b"sec-websocket-version") != [b"13"]:
        raise UpgradeRefused(
            426,
            "the WebSocket version must be 13",
            ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")),
        )
    keys = _values(headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise UpgradeRefused(400, "one Sec-WebSocket-Key of 16 bytes in base64 is needed")
    return Upgrade(accept_key(keys[0]), deflate_offer(headers))


def accept_head(upgrade: Upgrade, *, deflate: bool) -> bytes:
    """The whole head of the 101 answer (section 4.2.2).

    Args:
        deflate: use compression if the client offered it.
    """
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    extensions = b""
    if deflate and upgrade.deflate is not None:
        extensions = b"\r\nSec-WebSocket-Extensions: " + upgrade.deflate
    return head + b"Sec-WebSocket-Accept: " + upgrade.accept + extensions + b"\r\n\r\n"


def deflate_offer(headers: Headers) -> bytes | None:
    """The answer to the first offer of `permessage-deflate` that we can take (RFC 7692 sections 5 and 7.1).

    Refused are offers with unknown, doubled or wrong parameters, and those that want a smaller window of us
    than the shared frames are made with. None means: answer without the extension.
    """
    for value in _values(headers, b"sec-websocket-extensions"):
        for offer in value.split(b","):
            name, *parameters = (part.strip() for part in offer.split(b";"))
            if name.lower() == _DEFLATE:
                answer = _answer(parameters)
                if answer is not None:
                    return answer
    return None


def _answer(parameters: list[bytes]) -> bytes | None:
    seen: set[bytes] = set()
    answer = DEFLATE_ANSWER
    for parameter in parameters:
        name, has_value, value = (part.strip() for part in parameter.partition(b"="))
        if len(value) >= 2 and value[:1] == value[-1:] == b'"':
            value = value[1:-1]
        if name in seen:
            return None
        seen.add(name)
        if name in (b"server_no_context_takeover", b"client_no_context_takeover"):
            if has_value:
                return None
        elif name == b"server_max_window_bits":
            if value != b"15":
                return None
            answer += b"; server_max_window_bits=15"
        elif name != b"client_max_window_bits" or (has_value and value not in _WINDOW_BITS):
            return None
    return answer


_WINDOW_BITS: Final = frozenset(str(bits).encode() for bits in range(8, 16))


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value.strip() for key, value in headers if key == name]


def _tokens(headers: Headers, name: bytes) -> Iterator[bytes]:
    for value in _values(headers, name):
        yield from (token.strip().lower() for token in value.split(b","))
