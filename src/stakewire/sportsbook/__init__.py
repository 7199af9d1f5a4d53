"""The sportsbook (OPERATOR side): clients, sessions, the page's API, bets, settlement, and its callbacks."""
