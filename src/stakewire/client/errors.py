"""What a call to a sportsbook can end with, besides its answer.

StakewireError
├── InvalidInput   └── RequestRefused      400: a field is wrong; `code` and message are the sportsbook's
├── Unauthorized   └── InvalidCredentials  401: user name or password is wrong
├── Refused        └── NotAllowed          403: the client is disabled, or has no such currency
├── Unavailable    ├── TooManyRequests     429: slow down; `retry_after` seconds
│                  └── SportsbookAway      no answer, or a 5xx, several times
└── BadAnswer                              an answer that is not the contract's
"""

from __future__ import annotations

from stakewire.errors import InvalidInput, Refused, StakewireError, Unauthorized, Unavailable


class RequestRefused(InvalidInput):
    """The sportsbook says a field is wrong; sending it again will not help."""


class InvalidCredentials(Unauthorized):
    """User name or password is wrong."""

    default_code = "INVALID_CREDENTIALS"


class NotAllowed(Refused):
    """The client is known and may not do this."""

    default_code = "FORBIDDEN"


class TooManyRequests(Unavailable):
    """The sportsbook asks to slow down; `retry_after` is in seconds."""

    default_code = "TOO_MANY_REQUESTS"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SportsbookAway(Unavailable):
    """The sportsbook gave no answer, or only 5xx, in several attempts."""

    default_code = "SPORTSBOOK_AWAY"


class BadAnswer(StakewireError):
    """The sportsbook answered something that the contract does not know."""

    default_code = "BAD_ANSWER"
