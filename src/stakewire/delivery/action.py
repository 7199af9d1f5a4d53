"""What a callback asks for, in the contract's words."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """The three actions of the contract; equal to the wire's words, which this level may not import."""

    BET = "bet"
    RESULT = "result"
    ROLLBACK = "rollback"
