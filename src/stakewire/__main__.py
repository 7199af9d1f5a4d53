"""`python -m stakewire` is the `stakewire` command."""

from __future__ import annotations

from stakewire.cli.main import main

if __name__ == "__main__":
    main()
