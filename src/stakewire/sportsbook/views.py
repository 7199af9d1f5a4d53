"""Bets and sessions as the page's API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from stakewire.betting.odds import format_odds, payout_minor
from stakewire.money import Currencies, format_minor
from stakewire.postgres.sportsbook.bets import BetRow
from stakewire.sportsbook.access import PageSession
from stakewire.sportsbook.board import instant, shown_state

Json = Mapping[str, Any]


def bet_json(bet: BetRow, currencies: Currencies, now: datetime) -> Json:
    """One bet; ids are strings because they are larger than JavaScript's exact numbers.

    `rolled_back`: the sportsbook has ordered the stake back (void, or a bet without an answer).
    """
    currency = currencies.get(bet.currency)
    return {
        "id": str(bet.id),
        "slip_id": str(bet.slip_id),
        "match": {
            "id": str(bet.match_id),
            "league": bet.league,
            "home": bet.home,
            "away": bet.away,
            "kickoff": instant(bet.kickoff),
            "state": shown_state(bet.match_state, bet.kickoff, now),
            "simulated": bet.simulated,
            "score": None if bet.score is None else [bet.score.home, bet.score.away],
        },
        "market": bet.market.value,
        "outcome": bet.outcome,
        "odds": format_odds(bet.odds),
        "stake": format_minor(bet.stake_minor, currency),
        "currency": bet.currency,
        "state": bet.state.value,
        "refusal": bet.refusal,
        "payout": None if bet.payout_minor is None else format_minor(bet.payout_minor, currency),
        "potential_payout": format_minor(payout_minor(bet.stake_minor, bet.odds), currency),
        "placed_at": instant(bet.placed_at),
        "rolled_back": bet.stake_returned,
    }


def session_json(session: PageSession, currencies: Currencies) -> Json:
    visit = session.visit
    return {
        "client": session.client.name,
        "user_id": visit.user_id,
        "currency": visit.currency,
        "exponent": currencies.get(visit.currency).exponent,
        "lang": visit.lang,
        "origins": list(session.client.origins),
        "expires_at": instant(session.expires_at),
    }
