"""A system call for each socket, without the event loop's share in it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from typing import Final

from stakewire.net.signalr.sending.sender import Target


class DirectSender:
    """`write` on the descriptor of each; what a socket does not take, its transport gets."""

    name = "write"
    direct = True

    def send(self, targets: Sequence[Target], descriptors: array[int], frame: bytes) -> None:
        """See `Sender`."""
        write, size = os.write, len(frame)
        for target, descriptor in zip(targets, descriptors, strict=True):
            try:
                written = write(descriptor, frame)
            except OSError:
                written = 0  # it is full, or gone, which its transport will find out
            if written != size:
                target.transport.write(frame[written:])

    def send_parts(
        self,
        targets: Sequence[Target],
        descriptors: array[int],
        before: bytes,
        slots: Sequence[bytes],
        after: bytes,
    ) -> None:
        """See `Sender`."""
        for target, descriptor, slot in zip(targets, descriptors, slots, strict=True):
            parts = (before, slot, after)
            try:
                written = os.writev(descriptor, parts)
            except OSError:
                written = 0
            if written != len(before) + len(slot) + len(after):
                target.transport.write(b"".join(parts)[written:])

    def close(self) -> None:
        """See `Sender`."""


DIRECT: Final = DirectSender()
