"""What partners are known to do differently, as data (contract, first paragraph). The default comes first."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args, get_type_hints

from stakewire.errors import InvalidInput
from stakewire.wire.sportsbook.signing import HEADER, MISSPELT

HOUR: Final = 3600.0
RETRY_SCHEDULE: Final = (0.0, 1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, *(HOUR,) * (7 * 24))
"""The contract's waits before each attempt at a result or rollback: seconds, then hourly for 7 days."""

_MAX_ATTEMPTS: Final = 1000
_MAX_WAIT: Final = 7 * 24 * HOUR
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h)?(?: ?x ?([0-9]{1,4}))?")
_UNITS: Final = {None: 1.0, "s": 1.0, "m": 60.0, "h": HOUR}


@dataclass(frozen=True, slots=True)
class Profile:
    """How one partner reads the contract.

    Attributes:
        altered_replay: the same id with other values: the first answer again, or TRANSACTION_MISMATCH.
        bad_signature_status: HTTP status of INVALID_SIGNATURE.
        unknown_rollback: every rollback whose target has not come yet succeeds, or is refused; its tombstone
            is kept either way.
        rollback_of_result: takes the money back even below zero, or is refused.
        hash_headers: names the signature may come under; the first is the one that we send.
        bet_timeout: seconds a bet may take to be answered.
        retry_schedule: seconds before each attempt at a result or rollback; after the last it is parked.
    """

    altered_replay: Literal["first_answer", "refuse"] = "first_answer"
    bad_signature_status: Literal[200, 401] = 200
    unknown_rollback: Literal["succeed", "refuse"] = "succeed"
    rollback_of_result: Literal["allow_negative", "refuse"] = "allow_negative"
    hash_headers: tuple[str, ...] = (HEADER, MISSPELT)
    bet_timeout: float = 5.0
    retry_schedule: tuple[float, ...] = RETRY_SCHEDULE

    @classmethod
    def from_toml(cls, text: str) -> Profile:
        """Read a profile file; keys left out keep their defaults.

        Raises:
            InvalidInput: not TOML, an unknown key, or a value outside its range; the message names the key.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidInput(f"the profile is not TOML: {error}") from None
        return cls.from_mapping(document)

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any]) -> Profile:
        """Read a profile from plain values, such as those of `as_mapping`, stored as JSON.

        Raises:
            InvalidInput: as `from_toml`.
        """
        known = {field.name for field in fields(cls)}
        for key in document:
            if key not in known:
                raise InvalidInput(f"profile: unknown key `{key}`; known are {', '.join(sorted(known))}")
        read: dict[str, Any] = {
            key: _READERS.get(key, _choice)(key, value) for key, value in document.items()
        }
        return cls(**read)

    def as_mapping(self) -> dict[str, Any]:
        """Plain values that JSON can hold; `from_mapping` reads them back."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    def hash_header_names(self) -> tuple[bytes, ...]:
        """`hash_headers` as `signing.check_signature` wants them: bytes in lower case."""
        return tuple(name.lower().encode() for name in self.hash_headers)


def _choice(key: str, value: object) -> object:
    allowed = get_args(get_type_hints(Profile)[key])
    if value not in allowed or isinstance(value, bool):
        raise InvalidInput(f"profile: `{key}` must be one of {', '.join(map(repr, allowed))}, not {value!r}")
    return value


def _header_names(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 8:
        raise InvalidInput(f"profile: `{key}` must be a list of 1 to 8 header names")
    for name in value:
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InvalidInput(f"profile: `{key}`: {name!r} is no header name")
    if len({name.lower() for name in value}) < len(value):
        raise InvalidInput(f"profile: `{key}` names a header twice; case makes no difference")
    return tuple(value)


def _bet_timeout(key: str, value: object) -> float:
    waits = _waits(key, value)
    if len(waits) != 1 or not 0.1 <= waits[0] <= 60:
        raise InvalidInput(f"profile: `{key}` must be 0.1 to 60 seconds, not {value!r}")
    return waits[0]


def _schedule(key: str, value: object) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise InvalidInput(f'profile: `{key}` must be a list of waits such as [0, "5s", "2m", "1h x 168"]')
    waits = tuple(wait for item in value for wait in _waits(key, item))
    if not 1 <= len(waits) <= _MAX_ATTEMPTS:
        raise InvalidInput(f"profile: `{key}` must have 1 to {_MAX_ATTEMPTS} attempts, not {len(waits)}")
    return waits


def _waits(key: str, value: object) -> tuple[float, ...]:
    """One wait, or several: seconds as a number, or text such as `30s`, `2m`, `1h x 168`."""
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidInput(f"profile: `{key}`: {value!r} is no wait; write seconds, or 30s, 2m, 1h, 1h x 168")
    number, unit, times = match.groups()
    seconds = float(number) * _UNITS[unit]
    if seconds > _MAX_WAIT:
        raise InvalidInput(f"profile: `{key}`: {value!r} is over 7 days")
    return (seconds,) * int(times or 1)


_READERS: Final = {"hash_headers": _header_names, "bet_timeout": _bet_timeout, "retry_schedule": _schedule}
