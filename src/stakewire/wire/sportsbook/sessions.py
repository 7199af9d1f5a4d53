"""CLIENT's calls to OPERATOR: auth and start-session, both ends (contract section 2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec

from stakewire.wire.sportsbook.messages import storable, valid_id
from stakewire.wire.sportsbook.strict_json import RequestInvalid, parse_object


class AuthRequest(msgspec.Struct, frozen=True):
    """`POST /auth`."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"AuthRequest(username={self.username!r}, password=...)"


class AuthAnswer(msgspec.Struct, frozen=True):
    """The token for the next calls, and the whole seconds it is valid for."""

    token: str
    expires_in: Annotated[int, msgspec.Meta(gt=0)]

    def __repr__(self) -> str:
        return f"AuthAnswer(token=..., expires_in={self.expires_in})"


class StartSessionRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """`POST /start-session`, when the player opens the site. An unknown `lang` falls back to English."""

    user_id: str
    currency: str
    lang: str | None = None


class StartSessionAnswer(msgspec.Struct, frozen=True):
    """The address for the player's iframe; it works once, for 60 seconds."""

    url: str


class ApiError(msgspec.Struct, frozen=True):
    """Every failure of these calls: a code, such as INVALID_CREDENTIALS, and a sentence."""

    error: str
    message: str


AnyMessage = AuthRequest | AuthAnswer | StartSessionRequest | StartSessionAnswer | ApiError
Message = TypeVar("Message", bound=AnyMessage)


def decode(raw: bytes, kind: type[Message]) -> Message:
    """The message of this kind in `raw`; unknown fields are ignored. `lang` comes back `storable`.

    Raises:
        RequestInvalid: not strict JSON, a field missing or of another JSON type, or a user name or currency
            outside the rules.
    """
    fields = {name: _whole(value) for name, value in parse_object(raw).items()}
    if isinstance(fields.get("lang"), str):
        fields["lang"] = storable(str(fields["lang"]))
    try:
        message = msgspec.convert(fields, kind, strict=True)
    except msgspec.ValidationError as error:
        raise RequestInvalid(str(error)) from None
    for name in kind.__struct_fields__:
        text = getattr(message, name)
        if isinstance(text, str) and storable(text) != text:
            raise RequestInvalid(f"`{name}` holds NUL or a lone surrogate")
    if isinstance(message, StartSessionRequest):
        for name, text in (("user_id", message.user_id), ("currency", message.currency)):
            if not valid_id(text):
                raise RequestInvalid(f"`{name}` must have 1 to 128 characters, without control characters")
    return message


def _whole(value: object) -> object:
    """Whole numbers as int (all numbers arrive as Decimal); huge ones stay, and are refused by their type."""
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 18 and value == int(value):
        return int(value)
    return value


def encode(message: AnyMessage) -> bytes:
    """The message as a JSON body."""
    return msgspec.json.encode(message)
