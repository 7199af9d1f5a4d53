"""Twins of what is passed in (time, randomness), for the project's tests and for users' own."""

from __future__ import annotations

from stakewire.testing.clock import ManualClock
from stakewire.testing.ids import SeededTokens
from stakewire.testing.ledger import MemoryLedger

__all__ = ["ManualClock", "MemoryLedger", "SeededTokens"]
