"""The sportsbook's tables: clients, sessions, matches, bets, rulings. Callbacks are in `postgres.outbox`."""
