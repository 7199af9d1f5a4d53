"""What every command shares: the common flags, one way to print, one way to fail, one way to the database."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json as json_module
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, get_type_hints

import typer
import typer.core

from stakewire.errors import ConfigError, StakewireError
from stakewire.settings import Settings, load

if TYPE_CHECKING:
    import asyncpg

    from stakewire.postgres.connect import Side
    from stakewire.postgres.crypto import Vault

T = TypeVar("T")

INTERRUPTED = 130  # what a shell expects of a command that Ctrl-C ended

_BELOW_ZERO = re.compile(r"-\.?[0-9]")

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the embedded PostgreSQL [STAKEWIRE_DATA]."),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database-url", metavar="URL", help="PostgreSQL to use instead [STAKEWIRE_DATABASE_URL]."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file of settings [STAKEWIRE_CONFIG].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_COMMON: dict[str, Any] = {
    "data": (DataOption, None),
    "database_url": (DatabaseOption, None),
    "config": (ConfigOption, None),
    "json": (JsonOption, False),
}


@dataclass(frozen=True, slots=True)
class Context:
    """What a command is given: the settings it was started with, and how to answer."""

    settings: Settings
    json: bool = False
    flags: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None

    @classmethod
    def load(cls, flags: Mapping[str, Any], *, config: Path | None, json: bool) -> Context:
        """Read the settings with these flags on top; raises as `settings.load` does."""
        return cls(load(flags, config=config), json, flags, config)

    def with_flags(self, **more: Any) -> Context:
        """The same with further flags, such as `wallet={"port": 9000}`; None in there means not given."""
        return Context.load({**self.flags, **more}, config=self.config, json=self.json)

    def out(self, doc: Any, text: str) -> None:
        """Answer with one JSON document, or with text for people. Decimals must be strings in `doc`."""
        print(json_module.dumps(doc, ensure_ascii=False, indent=2) if self.json else text, flush=True)

    def note(self, text: str) -> None:
        """Say something beside the answer, such as progress: on stderr, so that stdout stays one document."""
        print(text, file=sys.stderr, flush=True)

    def vault(self) -> Vault:
        """The vault that seals and opens secrets at rest."""
        from stakewire.postgres.crypto import Vault

        key = self.settings.master_key
        return Vault.from_settings(None if key is None else key.get_secret_value(), self.settings.data)


class _Command(typer.core.TyperCommand):
    """A command whose arguments may be numbers below zero: what is wrong with `-1 EUR` is the amount."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if any(_BELOW_ZERO.match(one) for one in args):
            ctx.ignore_unknown_options = True  # they become arguments; one too many is still an error
        return super().parse_args(ctx, args)


def command(
    app: typer.Typer, name: str | None = None, **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Register a function, plain or async, as a command that also takes the common flags.

    Its first parameter is the `Context`; the others are Typer's. A command with further flags that are
    settings lays them over with `ctx.with_flags`.

        @command(app, "show")
        async def show(ctx: Context, user: str) -> None: ...
    """

    def register(function: Callable[..., Any]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[1:]

        @functools.wraps(function)
        def wrapper(**given: Any) -> None:
            common = {key: given.pop(key) for key in _COMMON}
            as_json: bool = common.pop("json")

            def work() -> Any:
                flags = {"data": common["data"], "database_url": common["database_url"]}
                return function(Context.load(flags, config=common["config"], json=as_json), **given)

            run(work, json=as_json)

        parameters = [one.replace(annotation=hints[one.name]) for one in own] + [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
            for key, (kind, default) in _COMMON.items()
        ]
        wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters], return_annotation=None
        )
        wrapper.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
        app.command(name, **{"cls": _Command, **options})(wrapper)
        return wrapper

    return register


def run(work: Callable[[], Any | Awaitable[Any]], *, json: bool = False) -> None:
    """Call `work` and await what it gives on uvloop; turn an error into one sentence and its exit code."""
    try:
        result = work()
        if inspect.iscoroutine(result):
            _run_loop(result)
    except StakewireError as error:
        fail(error, json=json)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader of a pipe has enough; nothing more can be said, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def fail(error: StakewireError, *, json: bool = False) -> NoReturn:
    """Print the error as one sentence, or as one JSON document, and exit with its code."""
    if json:
        print(
            json_module.dumps({"error": error.code, "message": error.message}, ensure_ascii=False), flush=True
        )
    else:
        print(f"stakewire: {error.message}", file=sys.stderr, flush=True)
    raise SystemExit(error.exit_code)


def _run_loop(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def embedded_or_outside(
    settings: Settings, side: Side, *, make: bool = False, watch: bool = False
) -> AsyncIterator[str]:
    """Address of the side's database for the length of the block, whatever state its schema is in.

    The embedded one is started if nobody runs it, and stopped at the end if nobody else uses it; with
    `make` it is made where there is none, with `watch` started again should it die meanwhile.

    Raises:
        ConfigError: the data folder cannot be used, or holds no database.
        Unavailable: the embedded server does not start.
    """
    outside = settings.side_database_url(side)
    if outside is not None:
        yield outside
        return
    from stakewire.postgres.embedded import EmbeddedPostgres, in_thread, keep_running

    server = EmbeddedPostgres(settings.data)
    watcher: asyncio.Task[None] | None = None
    try:
        address = await in_thread(functools.partial(server.start, make=make))
        if watch:
            watcher = asyncio.create_task(keep_running(server, _log_restart))
        yield address
    finally:
        if watcher is not None:
            watcher.cancel()
            await asyncio.wait({watcher})
        await in_thread(server.stop)


def _log_restart(sentence: str) -> None:
    import structlog

    structlog.get_logger("stakewire.postgres").error(sentence)


@asynccontextmanager
async def database_address(
    settings: Settings, side: Side, *, make: bool = False, watch: bool = False
) -> AsyncIterator[str]:
    """Address of the side's database, with a current schema, for the length of the block.

    An outside database must have been migrated with `stakewire db migrate`; the embedded one migrates itself.

    Raises:
        ConfigError: the schema is not current, there is no database, or it cannot be used.
        Unavailable: the database does not answer.
    """
    from stakewire.postgres.connect import connected
    from stakewire.postgres.migrate import check, migrate

    async with embedded_or_outside(settings, side, make=make, watch=watch) as address:
        async with connected(address, application_name="stakewire check") as conn:
            problems = await check(conn, side)
            if problems and settings.side_database_url(side) is None:
                await migrate(conn, side)
                problems = []
        if problems:
            raise ConfigError("; ".join(problems))
        yield address


@asynccontextmanager
async def database(
    settings: Settings, side: Side, *, max_size: int = 4
) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """A pool on the side's current schema, as its application role; raises as `database_address` does."""
    from stakewire.postgres.connect import app_role, open_pool

    async with database_address(settings, side) as address:
        pool = await open_pool(
            address,
            schema=side,
            role=app_role(side),
            max_size=max_size,
            application_name=f"stakewire {side}",
        )
        try:
            yield pool
        finally:
            await pool.close()
