"""The example `examples/hub/chat.py` as a process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.processes import Running

EXAMPLE = Path(__file__).parents[3] / "examples" / "hub" / "chat.py"


@contextmanager
def running_example(*arguments: str, folder: Path) -> Iterator[str]:
    """Run it for the length of the block; gives its address."""
    with Running(*arguments, cwd=folder, program=(sys.executable, str(EXAMPLE))) as example:
        yield example.wait_for_line("chat ready on").split()[-1].rstrip("/")
