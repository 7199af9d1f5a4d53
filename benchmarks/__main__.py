"""`make bench`: every claim, one after the other, on a machine that does nothing else meanwhile."""

from __future__ import annotations

from benchmarks import real_data, sportsbook, wallet
from benchmarks.hub import claims as hub

if __name__ == "__main__":
    for part in (wallet, sportsbook, hub, real_data):
        print(f"== {part.__name__}")
        part.main()
