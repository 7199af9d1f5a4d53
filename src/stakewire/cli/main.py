"""The tree of commands. Modules of the tree import what is heavy only inside their commands."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer
from typer.exceptions import TyperException

from stakewire import __version__
from stakewire.cli.common import INTERRUPTED, fail
from stakewire.errors import InvalidInput

# First word -> module of `stakewire.cli`. A group stands under its word; the modules of the others hold one
# command each, of that name.
COMMANDS = {
    "up": "up",
    "serve": "serve",
    "wallet": "wallet",
    "sportsbook": "sportsbook",
    "verify": "verify",
    "sign": "callbacks",  # which puts its other commands under `sportsbook` itself
    "db": "db",
    "hub": "hub",
}
GROUPS = frozenset({"serve", "wallet", "sportsbook", "db", "hub"})

EXIT_CODES = {
    0: "done",
    1: "unexpected error, or `verify` found something wrong",
    2: "a flag, a value or a setting is wrong",
    3: "what was named does not exist",
    4: "conflict: the id or name stands for something else, or the state forbids it",
    5: "refused by a rule",
    6: "the database or a peer is away; trying again may help",
    7: "cannot start like this: it would lose money, or a port, a folder or a secret cannot be used",
    8: "wrong or missing credentials",
    INTERRUPTED: "ended by Ctrl-C",
}


def build(only: str | None = None) -> typer.Typer:
    """Assemble the `stakewire` command; with `only`, just the part that this first word needs."""
    app = typer.Typer(
        name="stakewire",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # its tracebacks show local variables, which may be secrets
        epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
    )
    app.callback()(_root)
    for word in COMMANDS if only not in COMMANDS else (only,):
        module = import_module(f"stakewire.cli.{COMMANDS[word]}")
        app.add_typer(module.app, name=word if word in GROUPS else None)
    return app


def main() -> None:
    """Entry point of the `stakewire` script and of `python -m stakewire`."""
    tree = build(only=sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        if "--json" in sys.argv:
            raise SystemExit(_with_document(tree))
        tree()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _with_document(tree: typer.Typer) -> int:
    """Run with `--json`: a mistake in the command line is a document too. Give the exit code."""
    try:
        code = typer.main.get_command(tree).main(standalone_mode=False)
    except TyperException as mistake:
        fail(InvalidInput(" ".join(mistake.format_message().split())), json=True)
    return code if isinstance(code, int) else 0


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
