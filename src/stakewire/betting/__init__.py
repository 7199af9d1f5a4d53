"""Odds, markets, bets and what a result does to them: decisions only, no input or output."""
