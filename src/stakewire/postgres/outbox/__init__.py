"""The outbox on PostgreSQL: `sportsbook.callback` and `sportsbook.callback_attempt`."""
