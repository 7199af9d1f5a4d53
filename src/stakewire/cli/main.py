"""The tree of commands. Modules of the tree import what is heavy only inside their commands."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Annotated

import typer

from stakewire import __version__

# Modules whose commands stand at the top, and groups of commands with the name they stand under.
TOP = ("up", "verify", "callbacks")  # `callbacks` has `sign` at the top, the rest under `sportsbook`
GROUPS = ("serve", "wallet", "sportsbook", "db")

EPILOG = (
    "Exit codes: 0 done, 1 unexpected or `verify` found a problem, 2 wrong flag or value, 3 not found, "
    "4 conflict, 5 refused by a rule, 6 database or peer away, 7 cannot start like this, "
    "8 wrong credentials, 130 Ctrl-C."
)


def build() -> typer.Typer:
    """Assemble the `stakewire` command."""
    app = typer.Typer(
        name="stakewire",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # its tracebacks show local variables, which may be secrets
        epilog=EPILOG,
    )
    app.callback()(_root)
    for module in TOP:
        if find_spec(f"stakewire.cli.{module}"):
            app.add_typer(import_module(f"stakewire.cli.{module}").app)
    for module in GROUPS:
        if find_spec(f"stakewire.cli.{module}"):
            app.add_typer(import_module(f"stakewire.cli.{module}").app, name=module)
    return app


def main() -> None:
    """Entry point of the `stakewire` script and of `python -m stakewire`."""
    build()()


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Both sides of a sportsbook's seamless-wallet contract."""
