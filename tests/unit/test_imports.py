"""Claims about the direction of imports: from a higher level to a lower one, and the sides never meet."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "stakewire"

LEVELS = {
    **dict.fromkeys(["money", "currencies", "ids", "clock", "errors"], 0),
    **dict.fromkeys(["ledger", "delivery", "betting", "draws", "wire"], 1),
    **dict.fromkeys(["postgres", "net", "testing"], 2),
    **dict.fromkeys(["sportsbook", "wallet", "aggregator", "studio", "feed", "client"], 3),
    **dict.fromkeys(["sandbox", "console", "certify"], 4),
    **dict.fromkeys(["settings", "cli", "__main__"], 5),
}
MAY_MEET = {
    0,
    4,
    5,
}  # level 0 and the outer rings are one room each; elsewhere neighbours do not know each other
ONLY = {
    "client": {"wire"},  # a user's own code takes it along: no database, no server
    "certify": {"wire", "net"},  # it cannot share the bugs of services that it may not import
}
PURE = {name for name, level in LEVELS.items() if level <= 1}
EFFECTS = {
    *(
        "asyncio",
        "socket",
        "ssl",
        "selectors",
        "subprocess",
        "threading",
        "multiprocessing",
        "signal",
        "os",
        "time",
    ),
    *(
        "secrets",
        "logging",
        "sqlite3",
        "urllib",
        "http",
        "asyncpg",
        "aiohttp",
        "httptools",
        "uvloop",
        "starlette",
    ),
    *("structlog", "prometheus_client", "typer", "pydantic_settings", "argon2", "cryptography"),
}
ALLOWED_EFFECTS = {("clock", "time"), ("ids", "secrets")}  # where the outside is wrapped, to be passed in


def imports(source: str, module: list[str], *, is_package: bool) -> Iterator[tuple[int, list[str]]]:
    """Line and dotted name of everything imported anywhere in a file: lazily and for type checking, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            drop = node.level - (1 if is_package else 0)
            base = (module[: len(module) - drop] if node.level else []) + (node.module or "").split(".")
            base = [part for part in base if part]
            # `from stakewire import wallet` names the side only in the alias.
            yield from ((node.lineno, [*base, alias.name]) for alias in node.names)


def violations(root: Path) -> list[str]:
    """Every import under `root` that goes the wrong way, as `file:line: what`."""
    found = []
    for file in sorted(root.rglob("*.py")):
        inside = file.relative_to(root).with_suffix("").parts
        is_package = inside[-1] == "__init__"
        module = ["stakewire", *(inside[:-1] if is_package else inside)]
        if len(module) == 1:
            continue  # the package itself holds the version, nothing else
        for line, name in imports(file.read_text(encoding="utf-8"), module, is_package=is_package):
            wrong = complaint(module[1], name)
            if wrong:
                found.append(f"{file.relative_to(root)}:{line}: {wrong}")
    return found


def complaint(mine: str, name: list[str]) -> str | None:
    """What is wrong about the part `mine` importing `name`; None if nothing is."""
    if mine not in LEVELS:
        return f"`{mine}` has no level; give it one in this test"
    if name[0] != "stakewire":
        effect = mine in PURE and name[0] in EFFECTS and (mine, name[0]) not in ALLOWED_EFFECTS
        return f"`{mine}` is pure, and `{name[0]}` is not" if effect else None
    theirs = name[1] if len(name) > 1 else ""
    if theirs == mine or theirs in ("", "__version__"):
        return None
    if theirs not in LEVELS:
        return f"`{theirs}` has no level; give it one in this test"
    if LEVELS[theirs] > LEVELS[mine]:
        return f"`{mine}` (level {LEVELS[mine]}) imports `{theirs}` (level {LEVELS[theirs]})"
    if LEVELS[theirs] == LEVELS[mine] and LEVELS[mine] not in MAY_MEET:
        return f"`{mine}` and `{theirs}` stand side by side, and may not know each other"
    if mine in ONLY and LEVELS[theirs] > 0 and theirs not in ONLY[mine]:
        return f"`{mine}` may not import `{theirs}`"
    return None


def test_imports_go_down() -> None:
    """No file imports from above or beside itself, and the pure core touches nothing outside."""
    assert not violations(SOURCE), "\n" + "\n".join(violations(SOURCE))


def test_every_part_has_a_level() -> None:
    """What lies in the package is part of the layout."""
    parts = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or any(path.rglob("*.py"))}
    assert parts - {"__init__"} <= LEVELS.keys()


@pytest.mark.parametrize(
    ("file", "source", "what"),
    [
        ("ledger/a.py", "from stakewire.wire.sportsbook.codes import Code", "side by side"),
        ("betting/a.py", "import stakewire.delivery.state", "side by side"),
        ("wallet/a.py", "from stakewire.sportsbook import service", "side by side"),
        ("wallet/a.py", "from stakewire import sportsbook", "side by side"),
        ("wallet/a.py", "from ..sportsbook import service", "side by side"),
        ("wallet/deep/a.py", "from ...sportsbook import service", "side by side"),
        ("wallet/__init__.py", "from ..client import SportsbookClient", "side by side"),
        ("postgres/a.py", "def late():\n    from stakewire.wallet import committer", "level 3"),
        ("money.py", "if TYPE_CHECKING:\n    from stakewire.ledger import types", "level 1"),
        ("net/a.py", "from stakewire.postgres import connect", "side by side"),
        ("client/a.py", "from stakewire.net import egress", "may not import `net`"),
        ("certify/a.py", "from stakewire.wallet import service", "may not import `wallet`"),
        ("wallet/a.py", "from stakewire.cli import common", "level 5"),
        ("ledger/a.py", "import asyncio", "pure"),
        ("wire/feed/a.py", "from os import environ", "pure"),
        ("betting/a.py", "import time", "pure"),
        ("clock.py", "import asyncio", "pure"),
        ("novelty/a.py", "import json", "no level"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, source: str, what: str) -> None:
    """The walk sees each kind of wrong import: absolute, relative, lazy, for types, effects."""
    planted = tmp_path / file
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(source)
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(file)
    assert what in found[0]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "wallet/a.py",
            "from stakewire.ledger import decide\nfrom . import committer\nfrom ..wire import sportsbook",
        ),
        ("ledger/a.py", "from stakewire.money import to_minor\nfrom .types import Request\nimport re"),
        (
            "client/a.py",
            "from stakewire.wire.sportsbook.sessions import decode\nimport aiohttp\nimport asyncio",
        ),
        ("cli/a.py", "from stakewire.sandbox import up\nfrom stakewire import __version__, settings"),
        ("clock.py", "import time"),
        ("__init__.py", "__version__ = '1'"),
    ],
)
def test_the_right_direction_is_not_complained_about(tmp_path: Path, file: str, source: str) -> None:
    """Downward imports, a part's own modules and third parties are fine."""
    allowed = tmp_path / file
    allowed.parent.mkdir(parents=True, exist_ok=True)
    allowed.write_text(source)
    assert violations(tmp_path) == []
