"""Both sides of a sportsbook's seamless-wallet contract, safe with money."""

from __future__ import annotations

__version__ = "0.1.0"
