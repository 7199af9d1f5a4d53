"""Prepared, signed wallet traffic for `loadgen`; fresh ids in every file, so that no run measures replays.

The mix is 55 % bets, 40 % results, 5 % rollbacks (3 of 5 of an earlier bet, 2 of 5 of an id never seen), and
1 % of all requests are exact copies of an earlier one.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RECENT = 2_000
"""Rollbacks and copies name one of the last so many transactions, as a supplier's retries would."""
SETTLED = 600
"""A bet may be rolled back after so many later bets: earlier, with 256 in flight, it could be overtaken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a request file holds: `requests` in all, `fresh` of them with an id of their own."""

    path: Path
    requests: int
    fresh: int


def player_name(number: int) -> str:
    """The user id of bench player `number`, counted from 0."""
    return f"bench-player-{number:05d}"


def write_traffic(
    path: Path,
    *,
    run: str,
    count: int,
    players: Sequence[str],
    operator: str,
    secret: str,
    host: str,
    stake_cents: tuple[int, int] = (50, 2_000),
    seed: int = 1,
) -> Traffic:
    """Write `count` requests to `path`; `run` is part of every id, the same `seed` gives the same traffic."""
    rng = random.Random(f"{run}/{seed}")
    key = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    recent_bets: deque[tuple[str, str, str]] = deque(maxlen=RECENT)
    recent: deque[bytes] = deque(maxlen=RECENT)
    fresh = 0
    with path.open("wb") as out:
        for number in range(count):
            if recent and rng.random() < 0.01:
                record = recent[int(rng.random() * len(recent))]
            else:
                fresh += 1
                record = _fresh(
                    rng, f"{run}-{number:08d}", players, recent_bets, stake_cents, operator, key, host
                )
                recent.append(record)
            out.write(struct.pack("<I", len(record)))
            out.write(record)
    return Traffic(path=path, requests=count, fresh=fresh)


def _fresh(
    rng: random.Random,
    tx_id: str,
    players: Sequence[str],
    recent_bets: deque[tuple[str, str, str]],
    stake_cents: tuple[int, int],
    operator: str,
    key: hmac.HMAC,
    host: str,
) -> bytes:
    kind = rng.random()
    user = players[int(rng.random() * len(players))]
    cents = rng.randint(*stake_cents)
    amount = f"{cents // 100}.{cents % 100:02d}"
    if kind < 0.95:
        action = "bet" if kind < 0.55 else "result"
        if action == "bet":
            recent_bets.append((tx_id, user, amount))
        body = (
            f'{{"transaction_id":"{tx_id}","action":"{action}","user_id":"{user}",'
            f'"currency":"EUR","amount":{amount}}}'
        )
        return _request("transaction", body.encode(), operator, key, host)
    target = f"{tx_id}-never-seen"
    if len(recent_bets) > SETTLED and rng.random() < 0.6:
        target, user, amount = recent_bets[int(rng.random() * (len(recent_bets) - SETTLED))]
    body = (
        f'{{"transaction_id":"{tx_id}","rollback_transaction_id":"{target}","action":"rollback",'
        f'"user_id":"{user}","currency":"EUR","amount":{amount}}}'
    )
    return _request("transaction-rollback", body.encode(), operator, key, host)


def _request(endpoint: str, body: bytes, operator: str, key: hmac.HMAC, host: str) -> bytes:
    mac = key.copy()
    mac.update(body)
    head = (
        f"POST /callbacks/{operator}/{endpoint} HTTP/1.1\r\nHost: {host}\r\n"
        "Content-Type: application/json\r\n"
        f"X-Security-Hash: {mac.hexdigest()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
