"""The same bytes to many sockets: one function, and two ways of doing it.

writing.py  `transport.write` for each; works everywhere
uring.py    hundreds of sends in one system call, where Linux allows it
ring.py     io_uring itself, through ctypes
"""

from __future__ import annotations

import sys

from stakewire.net.signalr.sending.sender import Sender, Target
from stakewire.net.signalr.sending.writing import WRITING, WritingSender

__all__ = ["Sender", "Target", "WRITING", "WritingSender", "best_sender"]


def best_sender() -> Sender:
    """The quickest way that this system allows; containers often forbid io_uring, which is no error."""
    if sys.platform == "linux":
        from stakewire.net.signalr.sending.ring import RingRefused
        from stakewire.net.signalr.sending.uring import UringSender

        try:
            return UringSender()
        except RingRefused:
            pass
    return WRITING
