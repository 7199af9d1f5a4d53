"""`python -m stakewire.cli.reference` prints `docs/reference/cli.md`, made from the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from stakewire.cli.main import EXIT_CODES, build
from stakewire.settings import variables

COMMON = ("--data", "--database-url", "--config", "--json")

_HEAD = """# Commands, settings, exit codes

Made from the code by `python -m stakewire.cli.reference`; a test compares it.

Every setting can be given in three places. A flag wins over the environment, the environment wins over the
TOML file: `--config FILE`, else `STAKEWIRE_CONFIG`, else `./stakewire.toml` if it is there.

Every command takes these flags too:

| flag | meaning |
| --- | --- |
"""

_CODES = """
## Exit codes

An error is one sentence on stderr; with `--json` it is `{"error": CODE, "message": SENTENCE}` on stdout.

| code | meaning |
| --- | --- |
"""

_SETTINGS = """
## Settings

Lists are written with commas in the environment, tables as `NAME=VALUE,NAME=VALUE`. In the file a side's
settings stand in its table: `[wallet]`, `[sportsbook]`, `[site]`. An unknown key in the file is an error.

| variable | key in the file | default | meaning |
| --- | --- | --- | --- |
"""


def markdown() -> str:
    """The whole page."""
    root = typer.main.get_command(build())
    commands = list(_walk("stakewire", root))
    common = {flag: param for _, command in commands for param in command.params for flag in param.opts}
    lines = [_HEAD + "".join(f"| {_usage(common[flag])} | {common[flag].help} |\n" for flag in COMMON)]
    lines.append(_CODES + "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items()))
    lines.append("\n## Commands\n")
    lines += [_command(path, command) for path, command in commands]
    lines.append(_SETTINGS + "".join(_settings()))
    return "".join(lines)


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that lead to it."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from _walk(f"{path} {name}", below)


def _command(path: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    flags = [
        param
        for param in command.params
        if param.param_type_name == "option" and not param.hidden and param.opts[0] not in (*COMMON, "--help")
    ]
    words = "".join(f" {param.metavar or param.name.upper()}" for param in arguments)
    text = f"\n### `{path}{words}`\n\n{' '.join((command.help or '').split())}\n"
    rows = [
        f"| `{param.metavar or param.name.upper()}` | {param.help} |\n" for param in arguments if param.help
    ]
    rows += [f"| {_usage(param)} | {param.help or ''} |\n" for param in flags]
    return text + ("\n| | |\n| --- | --- |\n" + "".join(rows) if rows else "")


def _usage(param: Any) -> str:
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    return f"`{param.opts[0]}{value}`{', repeatable' if param.multiple else ''}"


def _settings() -> Iterator[str]:
    for variable, section, name, field in variables():
        default = field.get_default(call_default_factory=True)
        shown = "" if default in (None, (), {}) or not str(default) else f"`{default}`"
        key = name if section is None else f"{section}.{name}"
        yield f"| `{variable}` | `{key}` | {shown} | {field.description} |\n"


if __name__ == "__main__":
    print(markdown(), end="")
