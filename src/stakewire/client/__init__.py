"""For platforms: the calls a sportsbook offers them, async and sync.

async with SportsbookClient("https://bets.example.com", "acme", password) as sportsbook:
    url = await sportsbook.start_session("player-7", "EUR", lang="en")

with SportsbookClientSync("https://bets.example.com", "acme", password) as sportsbook:
    url = sportsbook.start_session("player-7", "EUR")
"""

from __future__ import annotations

from stakewire.client.errors import (
    BadAnswer,
    InvalidCredentials,
    NotAllowed,
    RequestRefused,
    SportsbookAway,
    TooManyRequests,
)
from stakewire.client.sportsbook import SportsbookClient
from stakewire.client.sync import SportsbookClientSync

__all__ = [
    "SportsbookClient",
    "SportsbookClientSync",
    "InvalidCredentials",
    "NotAllowed",
    "RequestRefused",
    "TooManyRequests",
    "SportsbookAway",
    "BadAnswer",
]
