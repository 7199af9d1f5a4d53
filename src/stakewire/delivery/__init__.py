"""Delivering callbacks until they are answered: attempts, schedules, outcomes and the outbox's Protocol.

Pure: nothing here waits, reads a clock, draws a random number or knows a database.
Source of every rule: section 4 of the Sportsbook API's contract page ("OPERATOR's duties as the sender").
"""
