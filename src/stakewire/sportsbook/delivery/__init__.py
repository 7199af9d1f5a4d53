"""Bets, results and rollbacks go out: a bet once, the others until they are answered (contract section 4)."""
