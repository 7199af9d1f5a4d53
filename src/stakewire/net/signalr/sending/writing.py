"""The way that works everywhere."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from stakewire.net.signalr.sending.sender import Target


class WritingSender:
    """`transport.write` for each; with nothing unsent before it, both event loops call the kernel at once."""

    name = "transport.write"
    direct = False

    def send(self, targets: Sequence[Target], descriptors: array[int], frame: bytes) -> None:
        """See `Sender`."""
        for target in targets:
            target.transport.write(frame)

    def send_parts(
        self,
        targets: Sequence[Target],
        descriptors: array[int],
        before: bytes,
        slots: Sequence[bytes],
        after: bytes,
    ) -> None:
        """See `Sender`."""
        for target, slot in zip(targets, slots, strict=True):
            target.transport.write(b"%b%b%b" % (before, slot, after))

    def close(self) -> None:
        """See `Sender`."""


WRITING: Final = WritingSender()
