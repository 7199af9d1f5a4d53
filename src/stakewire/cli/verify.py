"""`stakewire verify`: recompute every invariant of the wallet's ledger; exit 1 if a row breaks one."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from stakewire.cli.common import Context, command, database

app = typer.Typer()


@command(app, "verify")
async def verify(
    ctx: Context,
    most: Annotated[
        int | None,
        typer.Option(
            "--most", metavar="N", min=1, help="Name at most N rows per check, and count the others."
        ),
    ] = None,
) -> None:
    """Recompute every invariant of the ledger and name every row that breaks one; exit 1 if any does."""
    from stakewire.clock import SystemClock
    from stakewire.money import Currencies
    from stakewire.wallet.desk import verify_ledger

    settings = ctx.settings
    async with database(settings, "wallet") as pool:
        report = await verify_ledger(
            pool,
            currencies=Currencies.default().with_extra(settings.currencies),
            time_zone=settings.wallet.time_zone,
            clock=SystemClock(),
            most=most,
        )
    lines = [f"BROKEN {problem.check}: {problem.row}: {problem.detail}" for problem in report.problems]
    lines += [f"BROKEN {check}: {number} more rows" for check, number in report.unnamed.items()]
    counted = f"{report.transactions} transactions on {report.accounts} accounts"
    lines.append(f"{report.broken} rows break an invariant ({counted})" if lines else f"clean: {counted}")
    ctx.out(msgspec.to_builtins(report), "\n".join(lines))
    if not report.ok:
        raise SystemExit(1)
