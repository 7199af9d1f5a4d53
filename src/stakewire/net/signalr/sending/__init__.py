"""The same bytes to many sockets: one function, and three ways of doing it.

uring.py    hundreds of sends in one system call, where Linux allows it
ring.py     io_uring itself, through ctypes
direct.py   a system call for each
writing.py  `transport.write` for each: the only way under TLS
"""

from __future__ import annotations

import sys

from stakewire.net.signalr.sending.direct import DIRECT, DirectSender
from stakewire.net.signalr.sending.sender import Sender, Target
from stakewire.net.signalr.sending.writing import WRITING, WritingSender

__all__ = ["DIRECT", "WRITING", "DirectSender", "Sender", "Target", "WritingSender", "best_sender"]


def best_sender() -> Sender:
    """The quickest way that this system allows; containers often forbid io_uring, which is no error."""
    if sys.platform == "linux":
        from stakewire.net.signalr.sending.ring import RingRefused
        from stakewire.net.signalr.sending.uring import UringSender

        try:
            return UringSender()
        except RingRefused:
            pass
    return DIRECT
