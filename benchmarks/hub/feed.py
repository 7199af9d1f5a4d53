"""The message that all servers send: the state of twelve games, 2,714 bytes as a SignalR invocation in JSON.

Its shape is the games feed's (`wgi`, and what stands beside it there, for each game). Every state also
carries its version, the time it was published, and the CRC-32 of its games, so that the reader can check
what arrived (`content.h` has the other half). The games change from version to version, their size does
not, so that all messages cost the same.
"""

from __future__ import annotations

import time
import zlib
from typing import Any

import msgspec

TARGET = "SubOnWholeGamesInfo"
BYTES = 2_714
GAMES = 12
_WIDE = 10**9  # added to what counts, so that its digits stay as many

_encode = msgspec.json.Encoder().encode


def games(version: int) -> list[dict[str, Any]]:
    """The games at one moment: rounds of a minute, begun five seconds after one another."""
    listed = []
    for number in range(GAMES):
        played, tick = divmod(version + number * 10, 120)
        left = max(0, 30 - tick // 2)
        drawn = max(0, tick // 10 - 6)
        listed.append(
            {
                "im": False,
                "tst": f"2026-01-15T10:{version // 120 % 60:02}:{version // 2 % 60:02}.000Z",
                "btu": 1_768_471_230_000 + played * 60_000,
                "ep": "7f3a",
                "i": 7_700_000 + played * GAMES + number,
                "t": 3,
                "ge": 120_000 + played,
                "lrId": 7_700_000 + (played - 1) * GAMES + number,
                "s": 1 if left else 2,
                "ps": 1 if left else 2,
                "cr": 1,
                "sdt": f"2026-01-15T{10 + played // 60 % 10}:{played % 60:02}:00.000Z",
                "r": {
                    "items": [
                        {"value": str(10 + (played * 31 + number * 17 + turn * 37) % 70)}
                        for turn in range(drawn)
                    ]
                },
            }
        )
    return listed


def state(version: int, number: object = 0) -> dict[str, Any]:
    """The invocation's one argument; `number` goes where a subscription's own number belongs."""
    listed = games(version)
    text = _encode(listed)
    return {
        "sId": number,
        "im": False,
        "bt": 9,
        "v": 100_001,
        "version": _WIDE + version,
        "sent": time.monotonic_ns(),
        "crc": _WIDE * 10 + zlib.crc32(text),
        "length": len(text),
        "wgi": listed,
    }


def message(version: int) -> bytes:
    """The whole hub message, as the servers without SignalR send it."""
    return _encode({"type": 1, "target": TARGET, "arguments": [state(version)]}) + b"\x1e"
