"""One tree of errors, for whatever is not an expected outcome.

    StakewireError      exit 1   HTTP 500
    ├── InvalidInput    exit 2   HTTP 400   a flag, field or amount is wrong; sending it again will not help
    ├── NotFound        exit 3   HTTP 404   there is no such player, operator, transaction ...
    ├── Conflict        exit 4   HTTP 409   an id already stands for something else, or the state forbids it
    ├── Refused         exit 5   HTTP 422   the domain says no; `code` says why
    ├── Unavailable     exit 6   HTTP 503   the database or a peer is away; trying again may help
    ├── ConfigError     exit 7   HTTP 500   starting like this would lose money, or is not possible
    └── Unauthorized    exit 8   HTTP 401   wrong or missing credentials

Expected answers (a decline, a replay, an unclear delivery) are values, not errors.
"""

from __future__ import annotations

from typing import ClassVar


class StakewireError(Exception):
    """Something unexpected, in one sentence for people and one word for programs.

    Attributes:
        code: UPPER_SNAKE word for programs; the class has a default.
        message: one sentence: what was wrong, and what to do.
        exit_code: what a command exits with.
        http_status: what an admin or client API answers with.
        retryable: whether the same call may succeed later.
    """

    default_code: ClassVar[str] = "INTERNAL_ERROR"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code


class InvalidInput(StakewireError):
    """A flag, field or amount is wrong."""

    default_code = "INVALID_REQUEST"
    exit_code = 2
    http_status = 400


class NotFound(StakewireError):
    """What was named does not exist."""

    default_code = "NOT_FOUND"
    exit_code = 3
    http_status = 404


class Conflict(StakewireError):
    """An id was used before for something else, or the present state forbids the act."""

    default_code = "CONFLICT"
    exit_code = 4
    http_status = 409


class Refused(StakewireError):
    """The domain says no; `code` says why."""

    default_code = "REFUSED"
    exit_code = 5
    http_status = 422


class Unavailable(StakewireError):
    """The database or a peer is away."""

    default_code = "UNAVAILABLE"
    exit_code = 6
    http_status = 503
    retryable = True


class ConfigError(StakewireError):
    """Running like this would lose money, or cannot work at all."""

    default_code = "CONFIG_ERROR"
    exit_code = 7


class Unauthorized(StakewireError):
    """Wrong or missing credentials."""

    default_code = "UNAUTHORIZED"
    exit_code = 8
    http_status = 401
