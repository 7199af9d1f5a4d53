"""SQL kept in `.sql` files: each query named, described, and looked up by its name.

A file holds blocks that begin with a line `-- name: find_player`; comments below the
name belong to the block and travel to the server, where they help whoever reads
`pg_stat_activity`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

_NAME_LINE = re.compile(r"^--\s*name:\s*([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries:
    """The named queries of one file; `queries.find_player` or `queries["find_player"]` is the SQL text.

    Raises:
        ValueError: the file names a query twice, leaves one empty, or has SQL before the first name.
        AttributeError, KeyError: no query has the name asked for.
    """

    def __init__(self, package: str, file: str) -> None:
        self._file = f"{package.replace('.', '/')}/{file}"
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
        self._sql = _split(text, self._file)

    def __getitem__(self, name: str) -> str:
        return self._sql[name]

    def __getattr__(self, name: str) -> str:
        try:
            return self._sql[name]
        except KeyError:
            raise AttributeError(f"{self._file} has no query named {name}") from None

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the file."""
        return iter(self._sql)


def _split(text: str, file: str) -> dict[str, str]:
    first, *rest = _NAME_LINE.split(text)
    if any(line.strip() and not line.lstrip().startswith("--") for line in first.splitlines()):
        raise ValueError(f"{file}: SQL before the first '-- name:' line")
    found: dict[str, str] = {}
    for name, sql in zip(rest[::2], rest[1::2], strict=True):
        if name in found:
            raise ValueError(f"{file}: query {name} is named twice")
        if not any(line.strip() and not line.lstrip().startswith("--") for line in sql.splitlines()):
            raise ValueError(f"{file}: query {name} is empty")
        found[name] = sql.strip()
    return found
