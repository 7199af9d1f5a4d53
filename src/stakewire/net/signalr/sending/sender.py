"""What a fan-out asks of the way in which its bytes leave."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from typing import Protocol


class Target(Protocol):
    """One socket that can take bytes now.

    Attributes:
        transport: it holds no unsent bytes.
    """

    transport: asyncio.WriteTransport


class Sender(Protocol):
    """Writes to all targets, never waits; what a socket does not take, its transport keeps and sends later.

    Attributes:
        direct: it writes past transports, so that it must not be given any that encrypts.
    """

    @property
    def name(self) -> str: ...
    @property
    def direct(self) -> bool: ...

    def send(self, targets: Sequence[Target], descriptors: array[int], frame: bytes) -> None:
        """The same bytes to each; `descriptors` (an array of "I") are theirs."""

    def send_parts(
        self,
        targets: Sequence[Target],
        descriptors: array[int],
        before: bytes,
        slots: Sequence[bytes],
        after: bytes,
    ) -> None:
        """To each: `before`, its own slot (they are of one length, 16 bytes at most), `after`."""

    def close(self) -> None:
        """Give back what it holds of the system."""
