"""Connections that leave HTTP: another protocol goes on where the answer's head ended."""

from __future__ import annotations

import asyncio


class Places:
    """How many connections of one server have been taken over; they count against its limit."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken = 0


class TakenOver(asyncio.Protocol):
    """Base of the protocols that `DirectExchange.take_over` accepts: WebSocket, event stream.

    A subclass that has a `connection_lost` of its own calls this one, too: the place is free again.
    """

    __slots__ = ("_places",)

    _places: Places

    def occupy(self, places: Places) -> None:
        """Called once by the server, before `connection_made`."""
        self._places = places
        places.taken += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.taken -= 1
