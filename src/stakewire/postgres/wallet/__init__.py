"""The wallet's schema and everything that reads or writes it."""
