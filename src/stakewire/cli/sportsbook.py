"""`stakewire sportsbook ...`: clients, fixtures and matches, done directly on the sportsbook's database.

`callbacks`, `bet`, `result` and `rollback` stand in `cli/callbacks.py`. What `--json` prints is written down
in `docs/reference/sportsbook-cli.md`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stakewire.cli import callbacks
from stakewire.cli.common import Context, command, database
from stakewire.errors import InvalidInput

if TYPE_CHECKING:
    from stakewire.betting.files import BadRow
    from stakewire.postgres.sportsbook.clients import ClientRow
    from stakewire.postgres.sportsbook.matches import ListedMatch
    from stakewire.sportsbook.clients import Clients, NewCredentials
    from stakewire.sportsbook.importer import FixturesImported, Importer, ResultsImported
    from stakewire.sportsbook.settlement import Decision, Progress, Rulings, Settled, Settler

app = typer.Typer(no_args_is_help=True, help="Clients, matches and callbacks of the sportsbook.")
client_app = typer.Typer(no_args_is_help=True, help="Platforms that integrate this sportsbook.")
match_app = typer.Typer(no_args_is_help=True, help="Matches: results, corrections, voids.")
app.add_typer(client_app, name="client")
app.add_typer(match_app, name="match")
callbacks.add_to(app)

_MAX_PROFILE_BYTES = 64 * 1024
_BAD_ROWS_SHOWN = 20
_PROGRESS_SECONDS = 0.5
_TIME_TO_BET = timedelta(minutes=10)  # `--kickoff-from now`: nobody could bet on what kicks off at once

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The client's name.")]
OriginOption = Annotated[
    list[str] | None,
    typer.Option("--origin", metavar="URL", help="Site that may frame the page; again for more."),
]
CurrencyOption = Annotated[
    list[str] | None, typer.Option("--currency", metavar="CODE", help="Such as EUR; again for more.")
]
ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FILE", help="TOML file: what this client does differently."),
]
HashOption = Annotated[
    str | None,
    typer.Option("--security-hash", metavar="S", help="At least 16 characters; made at random if left out."),
]
MatchArgument = Annotated[int, typer.Argument(metavar="ID", help="See `match list`.", min=1, max=2**31 - 1)]
HomeArgument = Annotated[int, typer.Argument(metavar="HOME_GOALS")]
AwayArgument = Annotated[int, typer.Argument(metavar="AWAY_GOALS")]


# --- clients -----------------------------------------------------------------------------------


@command(client_app, "add")
async def client_add(
    ctx: Context,
    name: NameArgument,
    callback_url: Annotated[
        str, typer.Option("--callback-url", metavar="URL", help="Where its wallet takes callbacks.")
    ],
    origin: OriginOption = None,
    currency: CurrencyOption = None,
    profile: ProfileOption = None,
    security_hash: HashOption = None,
) -> None:
    """Add a client and print the five variables it integrates with; the secrets are shown this once."""
    async with _clients(ctx) as clients:
        made = await clients.add(
            name,
            callback_url=callback_url,
            origins=origin or (),
            currencies=currency or ("EUR",),
            profile=_profile(profile) or "",
            security_hash=security_hash,
        )
        api_url = await _api_url(ctx, clients)
    _show_credentials(ctx, made, api_url)


@command(client_app, "rotate")
async def client_rotate(
    ctx: Context,
    name: NameArgument,
    security_hash: HashOption = None,
    signs_in: Annotated[
        float,
        typer.Option(
            "--signs-in", metavar="S", help="Seconds until the new hash signs; at once if left out."
        ),
    ] = 0.0,
    password: Annotated[bool, typer.Option("--password", help="Make a new password too.")] = False,
) -> None:
    """Give a client a new security hash (and password); its wallet must know the hash before it signs."""
    async with _clients(ctx) as clients:
        made = await clients.rotate(
            name,
            security_hash=security_hash,
            signs_in=timedelta(seconds=signs_in),
            new_password=password,
        )
        api_url = await _api_url(ctx, clients)
    _show_credentials(ctx, made, api_url)


@command(client_app, "list")
async def client_list(ctx: Context) -> None:
    """List all clients; secrets are never shown again."""
    async with _clients(ctx) as clients:
        rows = await clients.list()
        api_url = await _api_url(ctx, clients)
    lines = [_client_line(row) for row in rows] or [
        "no clients; add one with `stakewire sportsbook client add`"
    ]
    document = {"api_url": api_url, "clients": [_client_document(row) for row in rows]}
    ctx.out(document, "\n".join([f"API_URL={api_url}", *lines]))


@command(client_app, "set")
async def client_set(
    ctx: Context,
    name: NameArgument,
    callback_url: Annotated[
        str | None, typer.Option("--callback-url", metavar="URL", help="Where its wallet takes callbacks.")
    ] = None,
    origin: OriginOption = None,
    currency: CurrencyOption = None,
    profile: ProfileOption = None,
) -> None:
    """Change a client: what is given replaces what was, the rest stays."""
    if callback_url is None and not origin and not currency and profile is None:
        raise InvalidInput("say what to change: --callback-url, --origin, --currency or --profile")
    async with _clients(ctx) as clients:
        row = await clients.set(
            name,
            callback_url=callback_url,
            origins=origin or None,
            currencies=currency or None,
            profile=_profile(profile),
        )
    ctx.out(_client_document(row), _client_line(row))


@command(client_app, "disable")
async def client_disable(ctx: Context, name: NameArgument) -> None:
    """End a client's sessions and take no more bets from its players; its results still go out."""
    async with _clients(ctx) as clients:
        row = await clients.set_enabled(name, False)
    ctx.out(_client_document(row), _client_line(row))


@command(client_app, "enable")
async def client_enable(ctx: Context, name: NameArgument) -> None:
    """Let a disabled client in again."""
    async with _clients(ctx) as clients:
        row = await clients.set_enabled(name, True)
    ctx.out(_client_document(row), _client_line(row))


# --- fixtures and matches ----------------------------------------------------------------------


@command(app, "import")
async def import_file(
    ctx: Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV of fixtures with odds, or of results.")],
    kickoff_from: Annotated[
        str | None,
        typer.Option(
            "--kickoff-from",
            metavar="now|TIME",
            help="Move all fixtures by one same amount, so that the first is then; now: in 10 minutes.",
        ),
    ] = None,
) -> None:
    """Import fixtures or results; bad rows are named and skipped, the good ones kept."""
    from stakewire.sportsbook.importer import FixturesImported

    start = None if kickoff_from is None else _moment(kickoff_from)
    raw = _read(file)
    async with _desk(ctx) as desk:
        report = await desk.importer.load(raw, kickoff_from=start)
        settled = None
        if not isinstance(report, FixturesImported):
            settled = await desk.settler.settle_all(_progress(ctx, "matches settled"))
    for bad in report.skipped[:_BAD_ROWS_SHOWN]:
        ctx.note(f"{file.name} line {bad.line}: skipped: {bad.reason}")
    if len(report.skipped) > _BAD_ROWS_SHOWN:
        ctx.note(f"... and {len(report.skipped) - _BAD_ROWS_SHOWN} more; --json names them all")
    document, text = _report(report, settled)
    ctx.out(document, text)


@command(match_app, "list")
async def match_list(
    ctx: Context,
    state: Annotated[
        str | None, typer.Option("--state", metavar="scheduled|finished|void", help="Only these.")
    ] = None,
    league: Annotated[str | None, typer.Option("--league", help="Only this league.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Most lines.")] = 50,
) -> None:
    """List matches, the latest kick-off first."""
    from stakewire.postgres.sportsbook.matches import list_matches

    if state not in (None, "scheduled", "finished", "void"):
        raise InvalidInput(f"--state is scheduled, finished or void, not {state!r}")
    async with database(ctx.settings, "sportsbook") as pool, pool.acquire() as conn:
        listed = await list_matches(conn, state=state, league=league, limit=limit)
    lines = [_match_line(row) for row in listed] or ["no such matches"]
    ctx.out({"matches": [_match_document(row) for row in listed]}, "\n".join(lines))


@command(match_app, "result")
async def match_result(ctx: Context, match: MatchArgument, home: HomeArgument, away: AwayArgument) -> None:
    """Set a match's result and settle its bets."""
    from stakewire.betting.markets import Score

    score = Score(home, away)
    async with _desk(ctx) as desk:
        decision = await desk.rulings.result(match, score)
        settled = await desk.settler.settle(match, _progress(ctx, "bets settled"))
    _show_decision(ctx, decision, f"ended {score}", settled)


@command(match_app, "correct")
async def match_correct(ctx: Context, match: MatchArgument, home: HomeArgument, away: AwayArgument) -> None:
    """Correct a match's result: changed bets are rolled back and settled anew."""
    from stakewire.betting.markets import Score

    score = Score(home, away)
    async with _desk(ctx) as desk:
        decision = await desk.rulings.correct(match, score)
        settled = await desk.settler.settle(match, _progress(ctx, "bets settled"))
    _show_decision(ctx, decision, f"ended {score} (corrected)", settled)


@command(match_app, "void")
async def match_void(ctx: Context, match: MatchArgument) -> None:
    """Declare a match void, also after its result: every stake goes back, for good."""
    async with _desk(ctx) as desk:
        decision = await desk.rulings.void(match)
        settled = await desk.settler.settle(match, _progress(ctx, "bets settled"))
    _show_decision(ctx, decision, "is void", settled)


# --- objects -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Desk:
    rulings: Rulings
    settler: Settler
    importer: Importer


@asynccontextmanager
async def _clients(ctx: Context) -> AsyncIterator[Clients]:
    from stakewire.clock import SystemClock
    from stakewire.ids import SystemTokens
    from stakewire.money import Currencies
    from stakewire.net.egress import EgressGuard
    from stakewire.sportsbook.clients import Clients
    from stakewire.sportsbook.passwords import Passwords

    clock = SystemClock()
    async with database(ctx.settings, "sportsbook") as pool:
        yield Clients(
            pool,
            vault=ctx.vault(),
            urls=EgressGuard(ctx.settings.egress_allow, clock=clock),
            currencies=Currencies.default().with_extra(ctx.settings.currencies),
            tokens=SystemTokens(),
            clock=clock,
            passwords=Passwords(),
        )


@asynccontextmanager
async def _desk(ctx: Context) -> AsyncIterator[_Desk]:
    from stakewire.clock import SystemClock
    from stakewire.money import Currencies
    from stakewire.sportsbook.importer import Importer
    from stakewire.sportsbook.settlement import Rulings, Settler
    from stakewire.sportsbook.writers import lease_ids

    clock = SystemClock()
    currencies = Currencies.default().with_extra(ctx.settings.currencies)
    async with database(ctx.settings, "sportsbook") as pool:
        rulings = Rulings(pool, clock)
        ids = await lease_ids(pool, "command line", clock)
        settler = Settler(pool, ids=ids, currencies=currencies, clock=clock)
        yield _Desk(rulings, settler, Importer(pool, rulings, clock))


# --- reading and showing -----------------------------------------------------------------------


def _progress(ctx: Context, what: str) -> Progress:
    """Say now and then how far it is; nothing for what is done at once."""
    began = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS or (done == total and last > began):
            last = now
            ctx.note(f"{done:,} of {total:,} {what}")

    return tell


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}") from None


def _profile(file: Path | None) -> str | None:
    if file is None:
        return None
    raw = _read(file)
    if len(raw) > _MAX_PROFILE_BYTES:
        raise InvalidInput(f"{file} is no profile: it has more than {_MAX_PROFILE_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is no profile: it is not UTF-8") from None


def _moment(text: str) -> datetime:
    if text == "now":
        return datetime.now(UTC).replace(microsecond=0) + _TIME_TO_BET
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"--kickoff-from is `now` or a time like 2026-05-01T18:00Z, not {text!r}"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _show_credentials(ctx: Context, made: NewCredentials, api_url: str) -> None:
    from stakewire.sportsbook.config import API_VERSION

    variables = {
        "api_url": api_url,
        "api_version": API_VERSION,
        "username": made.username,
        "password": made.password,
        "security_hash": made.security_hash,
    }
    given = {name: value for name, value in variables.items() if value is not None}
    ctx.out(
        {"name": made.name, **given}, "\n".join(f"{name.upper()}={value}" for name, value in given.items())
    )
    if not ctx.json:
        ctx.note("The secrets are shown this once.")


async def _api_url(ctx: Context, clients: Clients) -> str:
    """A setting wins, then what the sportsbook that started last has recorded, then where one would start."""
    settings = ctx.settings.sportsbook
    if settings.public_url:
        return settings.public_url.rstrip("/")
    if (recorded := await clients.api_url()) is not None:
        return recorded
    scheme = "https" if settings.tls_cert else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{settings.port}"


def _client_document(row: ClientRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "state": row.state,
        "username": row.username,
        "callback_url": row.callback_url,
        "origins": list(row.origins),
        "currencies": list(row.currencies),
        "profile": row.profile,
        "created_at": row.created_at.isoformat(),
    }


def _client_line(row: ClientRow) -> str:
    origins = " ".join(row.origins) or "no origins"
    return f"{row.name}  {row.state}  {row.callback_url}  {','.join(row.currencies)}  {origins}"


def _match_document(row: ListedMatch) -> dict[str, Any]:
    match = row.match
    return {
        "id": match.id,
        "league": match.league,
        "home": match.home,
        "away": match.away,
        "kickoff": match.kickoff.isoformat(),
        "state": match.state,
        "score": None if match.score is None else [match.score.home, match.score.away],
        "simulated": match.simulated,
        "settled": row.settled,
    }


def _match_line(row: ListedMatch) -> str:
    match = row.match
    ended = "" if match.score is None else f" {match.score}"
    waiting = " (being settled)" if row.settled is False else ""
    kickoff = match.kickoff.strftime("%Y-%m-%d %H:%M")
    return (
        f"{match.id}  {kickoff}Z  {match.league}  {match.home} - {match.away}  {match.state}{ended}{waiting}"
    )


def _show_decision(ctx: Context, decision: Decision, what: str, settled: Settled) -> None:
    match = decision.match
    document = {
        "match": match.id,
        "ruling": decision.ruling,
        "changed": decision.changed,
        "bets": settled.bets,
        "left": settled.left,
    }
    already = "" if decision.changed else " already"
    text = f"match {match.id} {match.home} - {match.away} {what}{already}; {settled.bets:,} bets settled"
    ctx.out(document, text + _left(settled))


def _left(settled: Settled) -> str:
    if not settled.left:
        return ""
    return f"\n{settled.left:,} are being decided or settled elsewhere; the running sportsbook finishes them"


def _report(
    report: FixturesImported | ResultsImported, settled: Settled | None
) -> tuple[dict[str, Any], str]:
    from stakewire.sportsbook.importer import FixturesImported
    from stakewire.sportsbook.settlement import Settled

    skipped = {"skipped": [_bad_document(bad) for bad in report.skipped]}
    if isinstance(report, FixturesImported):
        document: dict[str, Any] = {
            "kind": "fixtures",
            "rows": report.rows,
            "added": report.added,
            "updated": report.updated,
            "unchanged": report.unchanged,
            "started": report.started,
        }
        text = (
            f"{report.rows:,} fixtures: {report.added:,} added, {report.updated:,} updated, "
            f"{report.unchanged:,} unchanged, {len(report.skipped):,} skipped"
        )
        if report.started:
            text += f"\n{report.started:,} have kicked off, so nobody can bet on them; see --kickoff-from"
        return {**document, **skipped}, text
    settled = settled or Settled(0, 0)
    document = {
        "kind": "results",
        "rows": report.rows,
        "results": report.results,
        "unchanged": report.unchanged,
        "unknown": report.unknown,
        "bets": settled.bets,
        "left": settled.left,
    }
    text = (
        f"{report.rows:,} results: {report.results:,} set ({settled.bets:,} bets settled), "
        f"{report.unchanged:,} known before, {report.unknown:,} of matches that are not here, "
        f"{len(report.skipped):,} skipped"
    )
    return {**document, **skipped}, text + _left(settled)


def _bad_document(bad: BadRow) -> dict[str, Any]:
    return {"line": bad.line, "reason": bad.reason}
