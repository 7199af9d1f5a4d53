"""`stakewire up`: everything on this machine, to look at and to play with."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

import typer

from stakewire.cli.common import Context, command
from stakewire.settings import LOOPBACK

app = typer.Typer()

DEFAULT_PORT = 8080


@command(app, "up")
async def up(
    ctx: Context,
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="Site at N, sportsbook at N+1, wallet at N+2.")
    ] = DEFAULT_PORT,
) -> None:
    """Run a sportsbook, a wallet and a site to play on, until Ctrl-C. Play money only."""
    from stakewire.sandbox.up import UpConfig, describe, run_up

    settings = ctx.settings
    config = UpConfig(
        data_dir=settings.data.expanduser().absolute(),
        port=port,
        database_urls={side: settings.side_database_url(side) for side in ("wallet", "sportsbook")},
        master_key=None if settings.master_key is None else settings.master_key.get_secret_value(),
        egress_allow=settings.egress_allow or tuple(ip_network(part) for part in LOOPBACK.split(",")),
        extra_currencies=settings.currencies,
        time_zone=settings.wallet.time_zone,
        config_file=ctx.config,
    )
    doc = describe(config)
    text = "\n".join(
        (
            "",
            "  Stakewire runs. Play money only.",
            "",
            f"  site        {config.site_url}   log in as alice / play-money",
            f"  sportsbook  {config.sportsbook_url}",
            f"  wallet      {config.wallet_url}",
            f"  data        {config.data_dir}",
            "",
            "  Ctrl-C stops everything.",
            "",
        )
    )
    await run_up(
        config, say=lambda sentence: ctx.note(f"stakewire: {sentence}"), ready=lambda: ctx.out(doc, text)
    )
    ctx.note(f"stakewire: stopped; the data is in {config.data_dir}")
