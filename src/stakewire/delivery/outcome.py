"""What is known after one attempt to deliver a callback."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MAX_KEPT_ANSWER = 4096
MAX_KEPT_TEXT = 256


class Outcome(StrEnum):
    """Every way an attempt can end, most decisive first."""

    ACCEPTED = "accepted"  # the contract's success: status 200, `error` null, a transaction id
    DECLINED = "declined"  # a code that the wallet stored for ever: final for a bet
    UNDECIDED = "undecided"  # any other code: the wallet decides anew when the id comes again
    UNCLEAR = "unclear"  # something was answered that is not the contract's answer
    NO_ANSWER = "no_answer"  # bytes may have reached the wallet, nothing complete came back
    NOT_SENT = "not_sent"  # nothing reached the wallet


_PEER_SPOKE = frozenset({Outcome.ACCEPTED, Outcome.DECLINED, Outcome.UNDECIDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt, as it is stored and shown.

    `ms` is the time between sending and the end of the attempt. `reason` is a short text for
    people (the code, the status or the fault), None when accepted. `answer` holds the first
    4 KiB of the answer's body. Texts that came from the peer went through `storable`.
    """

    outcome: Outcome
    at: datetime
    ms: int
    address: str | None = None
    status: int | None = None
    reason: str | None = None
    client_transaction_id: str | None = None
    answer: bytes = b""

    @property
    def answered(self) -> bool:
        """Whether this is the answer the contract asks for; nothing looser ends a delivery."""
        return self.outcome is Outcome.ACCEPTED

    @property
    def peer_alive(self) -> bool:
        """Whether the peer spoke the contract, whatever it said: what the circuit breaker asks."""
        return self.outcome in _PEER_SPOKE


def storable(text: str, limit: int = MAX_KEPT_TEXT) -> str:
    """A peer's text in a form every database and terminal takes: escaped where needed, and bounded.

    JSON can carry NUL and lone surrogates, which PostgreSQL's text cannot; one such answer
    must not keep a whole batch from being recorded.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    readable = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text[:limit]
    )
    return readable[:limit]
