"""What a hub in several processes needs from whatever carries messages between them.

Two come with Stakewire: `stakewire.postgres.backplane.store.PostgresBackplane`, which needs nothing but the
database, and `stakewire.net.signalr.nats.NatsBackplane`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Backplane(Protocol):
    """Carries bytes from each process of a hub to all of them, the sender included.

    Messages of one publisher arrive in the order in which it published them; on PostgreSQL all messages have
    one order, the same everywhere. A message arrives once, or `lost` is called before the next one arrives.
    """

    @property
    def waiting(self) -> int:
        """Messages published here that are not with the carrier yet."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the carrier could be reached last time; meanwhile messages wait."""
        ...

    async def start(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """Connect; what anybody publishes once this has returned reaches `receive`.

        `lost` says that messages of other processes are missing here, and will not come any more. Neither
        callback may raise.

        Raises:
            ConfigError: the carrier cannot be used like this.
            Unavailable: it does not answer.
        """
        ...

    def publish(self, data: bytes) -> None:
        """Take a message and return at once; it is sent when the carrier is there.

        Raises:
            InvalidInput: it is longer than `wire.backplane.numbers.MAX_BODY`.
            Unavailable: the carrier is away, and as much as may wait for it waits already.
        """
        ...

    async def stop(self) -> None:
        """Send what waits, within a few seconds, and leave."""
        ...
