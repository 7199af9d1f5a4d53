"""A real season: imported, bet on and settled, from the folder named by STAKEWIRE_REAL_DATA.

What is checked is that all of it is understood: every fixture has its odds, every result finds its fixture,
and a second import changes nothing. How long it takes is reported.
Without the folder it says so and ends.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from benchmarks.sportsbook import Bench

from stakewire.postgres.embedded import EmbeddedPostgres

FIXTURES = "football/odds_2023_24.csv"
RESULTS = "football/results_stats_2014_2026.csv"


def real_data() -> Path | None:
    """The folder of real fixtures, odds and results, if the machine has one."""
    named = os.environ.get("STAKEWIRE_REAL_DATA")
    if not named:
        print("real data: STAKEWIRE_REAL_DATA names no folder, so nothing of it was tried")
        return None
    folder = Path(named)
    if not (folder / FIXTURES).exists():
        raise SystemExit(f"STAKEWIRE_REAL_DATA={folder} holds no {FIXTURES}")
    return folder


def main() -> None:
    found = real_data()
    if found is None:
        return
    with tempfile.TemporaryDirectory(prefix="stakewire-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "data")
        try:
            _import_twice(Bench(folder, postgres.start()), found)
        finally:
            postgres.stop()


def _import_twice(bench: Bench, data: Path) -> None:
    for name in (FIXTURES, RESULTS):
        for attempt in ("first", "second"):
            began = time.monotonic()
            document = bench.command("sportsbook", "import", str(data / name))
            print(f"{name}, {attempt} import: {time.monotonic() - began:.1f} s, {document}")


if __name__ == "__main__":
    main()
