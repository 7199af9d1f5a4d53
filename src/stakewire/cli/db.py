"""`stakewire db`: migrate, check, copy and restore the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stakewire.cli.common import Context, command, embedded_or_outside
from stakewire.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from stakewire.postgres.connect import Side

app = typer.Typer(no_args_is_help=True, help="Migrate, check, copy and restore the database.")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The copy, in pg_dump's custom format.")]
SideOption = Annotated[
    Literal["wallet", "sportsbook"] | None, typer.Option("--side", help="Only this side; both by default.")
]
SchemaOption = Annotated[
    Literal["wallet", "sportsbook", "hub"] | None,
    typer.Option(
        "--side", help="Only this side, or `hub`: messages between a hub's processes. All by default."
    ),
]


@command(app, "migrate")
async def migrate_command(ctx: Context, side: SchemaOption = None) -> None:
    """Apply what is missing; safe to run again, and from two places at once."""
    from stakewire.postgres.connect import check_durability, connected
    from stakewire.postgres.migrate import migrate

    done = []
    for one in _schemas(ctx, side):
        async with (
            embedded_or_outside(ctx.settings, one, make=True) as address,
            connected(address, application_name=_NAME) as conn,
        ):
            await check_durability(conn)
            for migration in await migrate(conn, one):
                done.append({"side": one, "number": migration.number, "name": migration.name})
    lines = [f"{one['side']}: applied {one['number']:04} {one['name']}" for one in done]
    ctx.out({"applied": done}, "\n".join(lines) or "nothing to do: every schema is current")


@command(app, "check")
async def check_command(ctx: Context, side: SchemaOption = None) -> None:
    """Say what differs from this program, or would lose money; exit 7 if anything does."""
    from stakewire.postgres.connect import check_durability, connected
    from stakewire.postgres.migrate import check

    problems: list[str] = []
    for one in _schemas(ctx, side):
        async with (
            embedded_or_outside(ctx.settings, one) as address,
            connected(address, application_name=_NAME) as conn,
        ):
            try:
                await check_durability(conn)
            except ConfigError as error:
                problems.append(f"{one}: {error.message}")
            problems += await check(conn, one)
    if problems and not ctx.json:
        raise ConfigError("; ".join(problems))
    ctx.out({"problems": problems}, "every schema is current and the server is durable")
    if problems:
        raise typer.Exit(ConfigError.exit_code)


@command(app, "dump")
async def dump_command(ctx: Context, file: FileArgument, side: SideOption = None) -> None:
    """Write a copy of everything as of one moment; the sides may go on meanwhile."""
    from stakewire.postgres.backup import dump
    from stakewire.postgres.connect import connected

    sides = _in_one_place(ctx, side)
    async with (
        embedded_or_outside(ctx.settings, sides[0]) as address,
        connected(address, application_name=_NAME) as conn,
    ):
        written = await dump(conn, address, sides, file)
    ctx.out({"file": str(file), "sides": written}, f"{' and '.join(written)} written to {file}")


@command(app, "restore")
async def restore_command(ctx: Context, file: FileArgument, side: SideOption = None) -> None:
    """Fill an empty database from such a copy, and bring it to this program's schema."""
    from stakewire.postgres.backup import restore
    from stakewire.postgres.connect import check_durability, connected
    from stakewire.postgres.migrate import migrate

    sides = _in_one_place(ctx, side)
    async with (
        embedded_or_outside(ctx.settings, sides[0], make=True) as address,
        connected(address, application_name=_NAME) as conn,
    ):
        await check_durability(conn)
        restored = await restore(conn, address, sides, file)
        for one in restored if side else (*restored, *_without_copy(ctx)):
            await migrate(conn, one)
    ctx.out(
        {"file": str(file), "sides": restored},
        f"{' and '.join(restored)} restored from {file}; now run: stakewire verify",
    )


_NAME = "stakewire db"


def _in_one_place(ctx: Context, side: Side | None) -> tuple[Side, ...]:
    """The sides to copy, all in one database; the hub's messages matter for seconds, and are not copied."""
    sides = tuple(one for one in _schemas(ctx, side) if one != "hub")
    if len({ctx.settings.side_database_url(one) for one in sides}) > 1:
        raise InvalidInput("the sides have a database each; name one with --side")
    return sides


def _schemas(ctx: Context, side: Side | None) -> tuple[Side, ...]:
    """The schema named, or all; the hub's only where the sides share a database, which is its too."""
    from stakewire.postgres.connect import SIDES

    if side is not None:
        return (side,)
    places = {ctx.settings.side_database_url(one) for one in SIDES}
    return SIDES if len(places) == 1 else tuple(one for one in SIDES if one != "hub")


def _without_copy(ctx: Context) -> tuple[Side, ...]:
    return tuple(one for one in _schemas(ctx, None) if one == "hub")
