"""Where callbacks go: what delivery needs to know of a client, at the moment of sending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stakewire.delivery.action import Action
from stakewire.delivery.schedule import SCHEDULES, RetrySchedule
from stakewire.wire.sportsbook.signing import HEADER, Secret

BET_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTarget:
    """One client as the sender sees it now: callback URL, the secret that signs, times in seconds.

    `hash_header` is the name under which this client expects the signature.
    """

    client_id: int
    name: str
    callback_url: str
    secret: Secret
    bet_timeout: float = BET_TIMEOUT
    schedule: RetrySchedule = SCHEDULES[Action.RESULT]
    hash_header: str = HEADER

    def url(self, path: str) -> str:
        """The address of one endpoint of this client."""
        return f"{self.callback_url.rstrip('/')}/{path.lstrip('/')}"


class TargetSource(Protocol):
    """Looks a client up by its id; kept fresh, so that a rotated secret signs the next callback."""

    async def target(self, client_id: int) -> ClientTarget | None:
        """The client as it is now, or None when there is no such client or it cannot be read."""
        ...
