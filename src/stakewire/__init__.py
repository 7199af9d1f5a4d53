"""Stakewire: the money path between a sportsbook and a wallet, both sides."""

from __future__ import annotations

__version__ = "0.1.0"
