"""Calling the user's callbacks: what they raise is theirs, and stops nothing here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger("stakewire.client.signalr")

T = TypeVar("T")


def tell(callback: Callable[[T], object], what: T) -> None:
    """Call it; an exception is logged."""
    try:
        callback(what)
    except Exception as error:
        log.error("a callback for changes of state failed", exc_info=error)
