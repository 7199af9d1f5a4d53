"""Bounds and times of a backplane on PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BackplaneLimits:
    """What a reader has not read when it is swept away (`keep_...`), it has missed, and says so."""

    max_waiting: int = 10_000  # messages that wait for a server that is away
    max_waiting_bytes: int = 64 * 1024 * 1024
    batch: int = 500  # messages of one transaction, and of one read
    batch_bytes: int = 4 * 1024 * 1024
    answer_seconds: float = 10.0  # a server that does not answer within it is taken for lost
    poll_seconds: float = 1.0  # what a lost NOTIFY costs
    keep_seconds: float = 60.0
    keep_messages: int = 100_000
    stop_seconds: float = 5.0  # how long `stop` goes on writing what waits
