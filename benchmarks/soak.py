"""`make soak`: the kill test for as long as you like, with a seed of its own each time.

STAKEWIRE_SOAK_MINUTES (default 20) bounds it. Each turn prints the command that replays it; the first failure
ends the soak with exit 1. With STAKEWIRE_REAL_DATA the bets are on fixtures of a real season.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time

from benchmarks.real_data import FIXTURES, real_data

ROUNDS_A_TURN = 15


def main() -> None:
    """Run turns until the time is up. A turn that has begun is finished."""
    minutes = float(os.environ.get("STAKEWIRE_SOAK_MINUTES", "20"))
    until = time.monotonic() + minutes * 60
    season = real_data()
    turns = 0
    while time.monotonic() < until:
        seed = secrets.randbelow(1_000_000)
        given = {"STAKEWIRE_KILL_SEED": str(seed), "STAKEWIRE_KILL_ROUNDS": str(ROUNDS_A_TURN)}
        if season is not None:
            given["STAKEWIRE_KILL_FIXTURES"] = str(season / FIXTURES)
        command = [sys.executable, "-m", "pytest", "-q", "tests/acceptance/kill"]
        print("turn", turns + 1, *(f"{name}={value}" for name, value in given.items()), *command, flush=True)
        done = subprocess.run(command, env={**os.environ, **given}, check=False)
        if done.returncode:
            raise SystemExit(1)
        turns += 1
    print(f"{turns} turns, {turns * ROUNDS_A_TURN * 4} kills: nothing lost, nothing doubled")


if __name__ == "__main__":
    main()
