"""`stakewire wallet ...`: operators, players, money and history, done directly on the wallet's database.

`--json` prints the same documents as the admin API (`docs/reference/wallet-cli.md`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from stakewire.cli.common import Context, command, database
from stakewire.errors import InvalidInput
from stakewire.ledger.types import LimitKind, Period, Status

if TYPE_CHECKING:
    from stakewire.wallet.admin import types
    from stakewire.wallet.desk import WalletDesk
    from stakewire.wallet.operators import MadeKey, OperatorDesk

app = typer.Typer(no_args_is_help=True, help="Operators, players, their money and limits.")
operator_app = typer.Typer(no_args_is_help=True, help="Who may send callbacks.")
player_app = typer.Typer(no_args_is_help=True, help="Players, their accounts and limits.")
transaction_app = typer.Typer(no_args_is_help=True, help="Single transactions.")
app.add_typer(operator_app, name="operator")
app.add_typer(player_app, name="player")
app.add_typer(transaction_app, name="transaction")


SHOWN_WAITS = 10  # the usual schedule of retries has 175

User = Annotated[str, typer.Argument(metavar="USER", help="The player's name.")]
AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 10 or 3.50.")]
CurrencyArgument = Annotated[str, typer.Argument(metavar="CURRENCY", help="Such as EUR.")]
ActId = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Id of this act: given again, it is not done again.")
]
HashOption = Annotated[
    str | None,
    typer.Option("--security-hash", metavar="S", help="At least 16 characters; made at random if left out."),
]


# --- operators ---------------------------------------------------------------------------------


@command(operator_app, "add")
async def operator_add(
    ctx: Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Part of the callback URL: a-z, 0-9 and '-'.")],
    security_hash: HashOption = None,
    profile: Annotated[
        Path | None,
        typer.Option("--profile", metavar="FILE", help="TOML file: what this operator does differently."),
    ] = None,
) -> None:
    """Let an operator send callbacks, and print its security hash, which is shown this once."""
    from stakewire.wire.sportsbook.profile import Profile

    read = None if profile is None else Profile.from_toml(_read(profile))
    async with _operators(ctx) as operators:
        made = await operators.add(name, security_hash=security_hash, profile=read)
    _show_key(ctx, made)


@command(operator_app, "set")
async def operator_set(
    ctx: Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    profile: Annotated[
        Path, typer.Option("--profile", metavar="FILE", help="TOML file; keys left out have their defaults.")
    ],
) -> None:
    """Replace what an operator does differently, and print what is now in force."""
    from stakewire.wallet.documents import operator_document
    from stakewire.wire.sportsbook.profile import Profile

    read = Profile.from_toml(_read(profile))
    async with _operators(ctx) as operators:
        document = operator_document(await operators.set_profile(name, read))
    lines = [f"operator  {document.name}"]
    lines += [f"  {key} = {_toml(value)}" for key, value in document.profile.items()]
    _answer(ctx, document, "\n".join(lines))


@command(operator_app, "rotate")
async def operator_rotate(
    ctx: Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    security_hash: HashOption = None,
    retire_old: Annotated[
        bool, typer.Option("--retire-old", help="End the old security hashes now, not in 7 days.")
    ] = False,
) -> None:
    """Give an operator a new security hash beside the old one, or end the old ones."""
    async with _operators(ctx) as operators:
        made = await operators.rotate(name, security_hash=security_hash, retire_old=retire_old)
    _show_key(ctx, made)


@command(operator_app, "list")
async def operator_list(ctx: Context) -> None:
    """Show every operator, its callback path, and when its security hashes were last used."""
    from stakewire.wallet.documents import operators_document

    async with _operators(ctx) as operators:
        document = operators_document(await operators.all())
    lines = []
    for operator in document.operators:
        lines.append(f"{operator.name}  {operator.callback_path}")
        for secret in operator.secrets:
            ends = secret.retired_at or secret.retire_at
            used = "never used"
            if secret.last_used_at is not None:
                used = f"last used {secret.last_used_at:%Y-%m-%d %H:%M} under {secret.last_header}"
            state = f"ends {ends:%Y-%m-%d %H:%M}" if ends else "live"
            lines.append(f"  security hash {secret.id}: {state}, {used}")
    _answer(ctx, document, "\n".join(lines) or "no operators yet; see `operator add`")


# --- players -----------------------------------------------------------------------------------


@command(player_app, "add")
async def player_add(
    ctx: Context,
    user: User,
    currency: Annotated[str, typer.Option("--currency", metavar="CURRENCY", help="Such as EUR.")],
    deposit: Annotated[
        str | None, typer.Option("--deposit", metavar="AMOUNT", help="Money to begin with.")
    ] = None,
    act_id: ActId = None,
) -> None:
    """Create a player, or a second account of a player in another currency."""
    async with _desk(ctx) as desk:
        player = await desk.add_player(user, currency, deposit, act_id)
    _show_player(ctx, player)


@command(player_app, "show")
async def player_show(ctx: Context, user: User) -> None:
    """Show a player's status, balances and limits."""
    async with _desk(ctx) as desk:
        player = await desk.show_player(user)
    _show_player(ctx, player)


@command(player_app, "deposit")
async def player_deposit(
    ctx: Context, user: User, amount: AmountArgument, currency: CurrencyArgument, act_id: ActId = None
) -> None:
    """Pay money in."""
    async with _desk(ctx) as desk:
        movement = await desk.deposit(user, amount, currency, act_id)
    _show_movement(ctx, movement, "deposited")


@command(player_app, "withdraw")
async def player_withdraw(
    ctx: Context, user: User, amount: AmountArgument, currency: CurrencyArgument, act_id: ActId = None
) -> None:
    """Pay money out, never below zero."""
    async with _desk(ctx) as desk:
        movement = await desk.withdraw(user, amount, currency, act_id)
    _show_movement(ctx, movement, "withdrawn")


@command(player_app, "block")
async def player_block(ctx: Context, user: User, act_id: ActId = None) -> None:
    """Refuse every bet of the player; results and rollbacks are still paid."""
    async with _desk(ctx) as desk:
        player = await desk.set_status(user, Status.BLOCKED, act_id)
    _show_player(ctx, player)


@command(player_app, "unblock")
async def player_unblock(ctx: Context, user: User, act_id: ActId = None) -> None:
    """Lift a block. An exclusion stays until its date."""
    async with _desk(ctx) as desk:
        player = await desk.set_status(user, Status.ACTIVE, act_id)
    _show_player(ctx, player)


@command(player_app, "close")
async def player_close(ctx: Context, user: User, act_id: ActId = None) -> None:
    """Close the player for good."""
    async with _desk(ctx) as desk:
        player = await desk.set_status(user, Status.CLOSED, act_id)
    _show_player(ctx, player)


@command(player_app, "exclude")
async def player_exclude(
    ctx: Context,
    user: User,
    until: Annotated[
        str, typer.Option("--until", metavar="DATE", help="2027-01-31, or a time: 2027-01-31T12:00:00Z.")
    ],
    act_id: ActId = None,
) -> None:
    """Self-exclude the player until a date; it can be lengthened, never shortened."""
    async with _desk(ctx) as desk:
        player = await desk.exclude(user, until, act_id)
    _show_player(ctx, player)


@command(player_app, "limit")
async def player_limit(
    ctx: Context,
    user: User,
    currency: CurrencyArgument,
    per: Annotated[Period, typer.Option("--per", help="The calendar window.")],
    stake: Annotated[
        str | None, typer.Option("--stake", metavar="AMOUNT|none", help="Most that may be staked.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", metavar="AMOUNT|none", help="Most that may be lost.")
    ] = None,
    act_id: ActId = None,
) -> None:
    """Set a limit of the player's own on an account, or take it away with `none`."""
    if (stake is None) == (loss is None):
        raise InvalidInput("give exactly one of --stake and --loss")
    kind, amount = (LimitKind.STAKE, stake) if stake is not None else (LimitKind.LOSS, loss)
    async with _desk(ctx) as desk:
        player = await desk.limit(user, kind, None if amount == "none" else amount, currency, per, act_id)
    _show_player(ctx, player)


# --- what happened -----------------------------------------------------------------------------


@command(app, "history")
async def history(
    ctx: Context,
    user: User,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="Most lines.")] = 50,
    after: Annotated[
        str | None, typer.Option("--after", metavar="CURSOR", help="Only what came after, oldest first.")
    ] = None,
    currency: Annotated[
        str | None, typer.Option("--currency", metavar="CURRENCY", help="One account only.")
    ] = None,
) -> None:
    """Show a player's transactions, newest first; with --after, what came since, oldest first."""
    async with _desk(ctx) as desk:
        page = await desk.history(user, limit=limit, after=after, currency=currency)
    lines = [_history_line(item) for item in page.items]
    lines.append(f"what comes later: --after {page.next}")
    _answer(ctx, page, "\n".join(lines))


@command(transaction_app, "show")
async def transaction_show(
    ctx: Context,
    transaction_id: Annotated[str, typer.Argument(metavar="ID", help="The wallet's or an operator's id.")],
) -> None:
    """Show every transaction that has this id, with the request as it came."""
    async with _desk(ctx) as desk:
        found = await desk.transactions(transaction_id)
    _answer(ctx, found, "\n\n".join(_transaction_text(one) for one in found.transactions))


# --- printing ----------------------------------------------------------------------------------


def _answer(ctx: Context, document: msgspec.Struct, text: str) -> None:
    ctx.out(msgspec.to_builtins(document), text)


def _show_key(ctx: Context, made: MadeKey) -> None:
    from stakewire.wallet.documents import key_document

    document = key_document(made)
    lines = [f"operator       {document.name}", f"callback path  {document.callback_path}"]
    if document.security_hash is not None:
        lines.append(f"security hash  {document.security_hash}  (shown this once)")
    if document.retired:
        lines.append(f"old security hashes ended: {document.retired}")
    _answer(ctx, document, "\n".join(lines))


def _show_player(ctx: Context, player: types.Player) -> None:
    lines = [f"{player.user_id}  {player.status}"]
    if player.excluded_until is not None:
        lines.append(f"  excluded until {player.excluded_until.isoformat()}")
    for account in player.accounts:
        lines.append(f"  {account.currency} {account.balance}")
        lines += [
            f"    {limit.kind} limit {limit.amount} per {limit.per}, used {limit.used}"
            for limit in account.limits
        ]
    _answer(ctx, player, "\n".join(lines))


def _show_movement(ctx: Context, movement: types.Movement, word: str) -> None:
    again = "  (done before under this id; nothing was moved now)" if movement.replay else ""
    text = (
        f"{movement.user_id}: {word} {movement.amount} {movement.currency}, "
        f"balance {movement.balance}{again}\n"
        f"id {movement.transaction_id}, wallet id {movement.id}"
    )
    _answer(ctx, movement, text)


def _history_line(item: types.HistoryItem) -> str:
    notes = "".join(
        [f"  {item.error}" if item.error else "", f"  altered copies: {item.altered}" if item.altered else ""]
    )
    return (
        f"{item.at:%Y-%m-%d %H:%M:%S}  {item.kind:<9} {item.delta:>14} {item.currency}  "
        f"-> {item.balance_after}  {item.operator} {item.transaction_id}{notes}"
    )


def _transaction_text(one: types.Transaction) -> str:
    fields: dict[str, Any] = msgspec.to_builtins(one)
    copies = fields.pop("copies")
    lines = [f"{name:<15} {'-' if value is None else value}" for name, value in fields.items()]
    lines += [f"copy, nothing moved: {copy['at']} {copy['raw']}" for copy in copies]
    return "\n".join(lines)


def _toml(value: object) -> str:
    """A value of a profile; texts, numbers and lists are written alike in JSON and TOML."""
    if isinstance(value, list) and len(value) > SHOWN_WAITS:
        return f"{msgspec.json.encode(value[:SHOWN_WAITS]).decode()[:-1]}, ... {len(value)} in all]"
    return msgspec.json.encode(value).decode()


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the profile {file} cannot be read: {error}") from None


# --- the database ------------------------------------------------------------------------------


@asynccontextmanager
async def _desk(ctx: Context) -> AsyncIterator[WalletDesk]:
    from stakewire.clock import SystemClock
    from stakewire.ids import SystemTokens
    from stakewire.money import Currencies
    from stakewire.wallet.desk import open_desk

    settings = ctx.settings
    async with (
        database(settings, "wallet") as pool,
        open_desk(
            pool,
            currencies=Currencies.default().with_extra(settings.currencies),
            time_zone=settings.wallet.time_zone,
            clock=SystemClock(),
            tokens=SystemTokens(),
        ) as desk,
    ):
        yield desk


@asynccontextmanager
async def _operators(ctx: Context) -> AsyncIterator[OperatorDesk]:
    from stakewire.clock import SystemClock
    from stakewire.ids import SystemTokens
    from stakewire.postgres.wallet.operators import OperatorTable
    from stakewire.wallet.operators import OperatorDesk

    async with database(ctx.settings, "wallet") as pool:
        yield OperatorDesk(OperatorTable(pool), ctx.vault(), SystemClock(), SystemTokens())
