"""`stakewire sportsbook callbacks ...`, `stakewire sportsbook bet|result|rollback ...` and `stakewire sign`.

`app` holds `sign`, which stands at the top of the tree; `add_to` puts the others under `sportsbook`.
What they print is put into words by `cli/callback_documents.py`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stakewire.cli.common import Context, command, database
from stakewire.errors import InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from stakewire.delivery.state import State
    from stakewire.money import Currencies
    from stakewire.postgres.sportsbook.clients import ClientRow
    from stakewire.sportsbook.delivery.targets import ClientTarget

app = typer.Typer()
callbacks = typer.Typer(
    no_args_is_help=True, help="Callbacks to clients: what waits, what was tried, sending again."
)

MAX_COPIES = 1000
MAX_BODY_BYTES = 10 * 1024 * 1024
_CONNECTIONS = 64

ClientArgument = Annotated[str, typer.Argument(metavar="CLIENT", help="The client's name.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The player, as the client names it.")]
AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 5.25.")]
CurrencyArgument = Annotated[str, typer.Argument(metavar="CURRENCY", help="Such as EUR.")]
IdOption = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Transaction id; made at random if left out.")
]
CopiesOption = Annotated[
    int, typer.Option("--copies", metavar="N", help="Send the same bytes N times.", min=1, max=MAX_COPIES)
]
DelayOption = Annotated[
    float,
    typer.Option("--delay", metavar="S", help="Seconds between copies; 0: all at once.", min=0, max=3600),
]
WrongOption = Annotated[
    bool, typer.Option("--wrong-signature", help="Sign with a secret that is not the client's.")
]
BodyOption = Annotated[
    Path | None, typer.Option("--body", metavar="FILE", help="Send and sign this file's bytes instead.")
]
TargetOption = Annotated[str, typer.Option("--target", metavar="ID", help="The transaction to undo.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """One callback as asked for on the command line."""

    action: str
    client: str
    user: str
    amount: str
    currency: str
    copies: int
    delay: float
    id: str | None
    wrong_signature: bool
    body: Path | None
    target: str | None = None


def add_to(sportsbook: typer.Typer) -> None:
    """Put `callbacks`, `bet`, `result` and `rollback` among the commands of `stakewire sportsbook`."""
    sportsbook.add_typer(callbacks, name="callbacks")
    command(sportsbook, "bet")(bet)
    command(sportsbook, "result")(result)
    command(sportsbook, "rollback")(rollback)


# --- one callback by hand ----------------------------------------------------------------------


async def bet(
    ctx: Context,
    client: ClientArgument,
    user: UserArgument,
    amount: AmountArgument,
    currency: CurrencyArgument,
    copies: CopiesOption = 1,
    delay: DelayOption = 0.0,
    id: IdOption = None,  # noqa: A002 - named after its flag
    wrong_signature: WrongOption = False,
    body: BodyOption = None,
) -> None:
    """Send one real bet to a client's wallet; print both sides' bytes and times."""
    await _send(ctx, _Wish(action="bet", **_given(locals())))


async def result(
    ctx: Context,
    client: ClientArgument,
    user: UserArgument,
    amount: AmountArgument,
    currency: CurrencyArgument,
    copies: CopiesOption = 1,
    delay: DelayOption = 0.0,
    id: IdOption = None,  # noqa: A002
    wrong_signature: WrongOption = False,
    body: BodyOption = None,
) -> None:
    """Send one real result to a client's wallet; print both sides' bytes and times."""
    await _send(ctx, _Wish(action="result", **_given(locals())))


async def rollback(
    ctx: Context,
    client: ClientArgument,
    user: UserArgument,
    amount: AmountArgument,
    currency: CurrencyArgument,
    target: TargetOption,
    copies: CopiesOption = 1,
    delay: DelayOption = 0.0,
    id: IdOption = None,  # noqa: A002
    wrong_signature: WrongOption = False,
    body: BodyOption = None,
) -> None:
    """Send one real rollback to a client's wallet; print both sides' bytes and times."""
    await _send(ctx, _Wish(action="rollback", **_given(locals())))


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "ctx"}


async def _send(ctx: Context, wish: _Wish) -> None:
    from stakewire.cli.callback_documents import probe_document, probe_text
    from stakewire.clock import SystemClock
    from stakewire.net.callback_client import CallbackClient
    from stakewire.net.egress import EgressGuard
    from stakewire.sportsbook.delivery.probe import TIMEOUT, build_probe, send_copies

    clock = SystemClock()
    transaction_id, body = _body(wish, _currencies(ctx))
    path = "transaction-rollback" if wish.action == "rollback" else "transaction"
    async with database(ctx.settings, "sportsbook") as pool:
        target = await _target(ctx, pool, wish.client)
    guard = EgressGuard(ctx.settings.egress_allow, clock=clock)
    await guard.check(target.callback_url)
    poster = CallbackClient(guard, max_connections_per_destination=_CONNECTIONS, clock=clock)
    try:
        probe = build_probe(target, path, body, wrong_signature=wish.wrong_signature)
        timeout = target.bet_timeout if wish.action == "bet" else TIMEOUT
        sent = await send_copies(
            probe, copies=wish.copies, delay=wish.delay, timeout=timeout, poster=poster, clock=clock
        )
    finally:
        await poster.close()
    document = {"client": wish.client, "action": wish.action, "transaction_id": transaction_id}
    ctx.out(document | probe_document(probe, sent), probe_text(probe, sent))
    if any(copy.answer is None for copy in sent):
        raise SystemExit(Unavailable.exit_code)


def _body(wish: _Wish, currencies: Currencies) -> tuple[str | None, bytes]:
    """The transaction id and the bytes to send; the id is None when the bytes come from a file."""
    from stakewire.ids import SystemTokens
    from stakewire.money import from_minor, parse_amount
    from stakewire.wire.sportsbook.messages import Action, Transaction, write_transaction

    if wish.body is not None:
        return None, _read(wish.body)
    currency = currencies.get(wish.currency)
    amount = parse_amount(wish.amount, currency)
    if wish.action == "bet" and amount == 0:
        raise InvalidInput("a stake is more than 0; --body FILE sends any bytes you like")
    transaction_id = wish.id or f"cli-{SystemTokens().token(12)}"
    said = Transaction(
        transaction_id=transaction_id,
        action=Action(wish.action),
        user_id=wish.user,
        currency=currency.code,
        amount=from_minor(amount, currency),
        target_id=wish.target,
    )
    try:
        return transaction_id, write_transaction(said, currency.exponent)
    except ValueError as error:
        raise InvalidInput(f"{error}; --body FILE sends any bytes you like") from None


async def _target(ctx: Context, pool: Any, name: str) -> ClientTarget:
    from stakewire.sportsbook.directory import read_client

    return read_client(await _client(pool, name), ctx.vault()).target


# --- the queue ---------------------------------------------------------------------------------


@command(callbacks, "list")
async def callbacks_list(
    ctx: Context,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="blocked, due, sending, answered, parked or final."),
    ] = None,
    client: Annotated[
        str | None, typer.Option("--client", metavar="NAME", help="Only this client's.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Most lines.")] = 50,
) -> None:
    """List callbacks, newest first."""
    from stakewire.cli.callback_documents import callback_document, callback_line
    from stakewire.postgres.outbox.desk import list_callbacks

    wanted = _state(state)
    async with database(ctx.settings, "sportsbook") as pool:
        names = await _names(pool)
        client_id = None if client is None else (await _client(pool, client)).id
        rows = await list_callbacks(pool, state=wanted, client_id=client_id, limit=limit)
    known = _currencies(ctx)
    text = "\n".join(callback_line(row, names, known) for row in rows) or "no callbacks"
    ctx.out({"callbacks": [callback_document(row, names, known) for row in rows]}, text)


@command(callbacks, "show")
async def callbacks_show(
    ctx: Context,
    id: Annotated[  # noqa: A002
        str, typer.Argument(metavar="ID", help="The callback's number or its transaction id.")
    ],
) -> None:
    """Show one callback: its bytes, and every attempt with its answer."""
    from stakewire.cli.callback_documents import attempt_document, callback_document, callback_text
    from stakewire.postgres.outbox.desk import attempts_of, find_callback

    async with database(ctx.settings, "sportsbook") as pool:
        names = await _names(pool)
        row = await find_callback(pool, id)
        attempts = await attempts_of(pool, row.id)
    known = _currencies(ctx)
    document = callback_document(row, names, known) | {"made": [attempt_document(one) for one in attempts]}
    ctx.out(document, callback_text(row, attempts, names, known))


@command(callbacks, "retry")
async def callbacks_retry(
    ctx: Context,
    id: Annotated[  # noqa: A002
        str | None, typer.Argument(metavar="[ID]", help="The callback's number or its transaction id.")
    ] = None,
    all_parked: Annotated[
        bool, typer.Option("--all-parked", help="Every parked callback, or every one of --client.")
    ] = False,
    client: Annotated[
        str | None, typer.Option("--client", metavar="NAME", help="Only this client's.")
    ] = None,
) -> None:
    """Send again on demand: a parked callback starts its schedule anew, a waiting one waits no longer."""
    from stakewire.clock import SystemClock
    from stakewire.postgres.outbox import desk

    if (id is None) != all_parked or (client is not None and not all_parked):
        raise InvalidInput("name one callback, or give --all-parked (with --client NAME for one client's)")
    now = SystemClock().now()
    async with database(ctx.settings, "sportsbook") as pool:
        if id is not None:
            row = await desk.find_callback(pool, id)
            await desk.retry(pool, row, now=now)
            retried = [row.id]
        else:
            client_id = None if client is None else (await _client(pool, client)).id
            retried = await desk.retry_parked(pool, client_id=client_id, now=now)
    ctx.out({"retried": [str(one) for one in retried]}, f"{len(retried)} callback(s) due now")


# --- signing -----------------------------------------------------------------------------------


@command(app, "sign")
def sign(
    ctx: Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The body; - reads standard input.")],
    secret: Annotated[
        str | None,
        typer.Option("--secret", metavar="S", envvar="STAKEWIRE_SIGN_SECRET", help="The security hash."),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            "--secret-file", metavar="FILE", help="File that holds it: not seen by others, as flags are."
        ),
    ] = None,
) -> None:
    """Print the signature of a body, as the contract says: HMAC-SHA256 over its bytes, in hex."""
    from stakewire.wire.sportsbook.signing import HEADER, Secret

    if secret_file is not None:
        secret = _text(secret_file).rstrip("\r\n")
    if not secret:
        raise InvalidInput("give the security hash with --secret, --secret-file or STAKEWIRE_SIGN_SECRET")
    raw = sys.stdin.buffer.read(MAX_BODY_BYTES + 1) if file == "-" else _read(Path(file))
    try:
        hashed = Secret(secret).sign(raw)
    except UnicodeEncodeError:  # bytes of the command line that no text stands for
        raise InvalidInput("the security hash is not UTF-8 text") from None
    ctx.out({"header": HEADER, "hash": hashed, "bytes": len(raw)}, hashed)


# --- shared ------------------------------------------------------------------------------------


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BODY_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BODY_BYTES:
        raise InvalidInput(f"{path} is over {MAX_BODY_BYTES} bytes")
    return raw


def _text(path: Path) -> str:
    try:
        return _read(path).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text") from None


def _state(text: str | None) -> State | None:
    from stakewire.delivery.state import State

    if text is None:
        return None
    try:
        return State(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no state; they are {', '.join(State)}") from None


def _currencies(ctx: Context) -> Currencies:
    from stakewire.money import Currencies

    return Currencies.default().with_extra(ctx.settings.currencies)


async def _clients(pool: Any) -> list[ClientRow]:
    from stakewire.clock import SystemClock
    from stakewire.postgres.sportsbook.clients import list_clients

    async with pool.acquire() as conn:
        return await list_clients(conn, SystemClock().now())


async def _client(pool: Any, name: str) -> ClientRow:
    for client in await _clients(pool):
        if client.name == name:
            return client
    raise NotFound(f"there is no client named {name!r}; see `stakewire sportsbook client list`")


async def _names(pool: Any) -> dict[int, str]:
    return {client.id: client.name for client in await _clients(pool)}
