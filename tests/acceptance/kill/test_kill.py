"""Nothing acknowledged is lost and nothing happens twice, whichever process is killed, whenever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from tests.acceptance.kill.bettors import Bettor, Slips
from tests.acceptance.kill.direct import OPENING_CENTS, Journal, Operator
from tests.acceptance.kill.installation import DIRECT, CommandFailed, Installation, running_in

SEED = int(os.environ.get("STAKEWIRE_KILL_SEED", "4711"))
ROUNDS = int(os.environ.get("STAKEWIRE_KILL_ROUNDS", "6"))
VICTIMS = ("wallet worker", "sportsbook", "postgres", "wallet")
DIRECT_PLAYERS = [f"direct-{number}" for number in range(16)]
BETTORS = [f"bettor-{number}" for number in range(8)]
LEAGUE, REAL_LEAGUE = "KILL", "ENG1"
MATCHES = 6
DRAIN_SECONDS = 90

UNANSWERED = "SELECT count(*) FROM sportsbook.callback WHERE state NOT IN ('answered', 'final')"
OPEN_BETS = "SELECT count(*) FROM sportsbook.bet WHERE state IN ('pending', 'accepted')"
# What every bet that the sportsbook knows must have done to its player's balance, in cents.
EFFECT_OF_BETS = """
    SELECT user_id,
           sum(CASE state WHEN 'won' THEN payout - stake WHEN 'lost' THEN -stake ELSE 0 END)::bigint AS cents
    FROM sportsbook.bet GROUP BY user_id
"""


@pytest.fixture
def installed() -> Iterator[Installation]:
    """Outside pytest's own folder, which every run of pytest shuts to PostgreSQL's user again."""
    with (
        tempfile.TemporaryDirectory(prefix="stakewire-kill-", ignore_cleanup_errors=True) as name,
        running_in(Path(name), _free_ports()) as made,
    ):
        yield made


@pytest.mark.slow
async def test_no_kill_loses_or_doubles_money(installed: Installation) -> None:
    """`kill -9` of wallet workers, wallet, sportsbook and PostgreSQL, 20 times in the middle of load:
    every answer that was given stays given, every balance is what the answers say, every settled bet is
    paid once, and `stakewire verify` finds nothing.
    """
    rng = random.Random(SEED)
    print(f"replay with STAKEWIRE_KILL_SEED={SEED} STAKEWIRE_KILL_ROUNDS={ROUNDS}")
    await installed.start()
    matches = await _import_matches(installed)
    await _create_players(installed)
    journal, slips, stop = Journal(), Slips(), asyncio.Event()
    operator = Operator(f"{installed.wallet_url}/callbacks/{DIRECT}", installed.secret, journal, rng)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=15)) as http:
        bettors = [await Bettor.enter(http, installed, player, slips) for player in BETTORS]
        async with asyncio.TaskGroup() as load:
            load.create_task(operator.run(DIRECT_PLAYERS, stop))
            for bettor in bettors:
                load.create_task(bettor.bet_until(stop, installed.sportsbook_url, matches, rng))
            await _kill_in_turn(installed, matches, journal, slips, rng)
            stop.set()
    await _settle_everything(installed, matches)
    await operator.check_stable()

    assert journal.faults == []
    assert sum(installed.kills.values()) >= min(20, ROUNDS * len(VICTIMS))
    assert len(journal.accepted) > 500, "too little happened between the kills to prove anything"
    assert len(slips.told) > 100, "too few bets were placed between the kills to prove anything"
    assert await _balances(installed, DIRECT_PLAYERS) == journal.balances
    assert await _balances(installed, BETTORS) == await _balances_by_bets(installed)
    await _check_what_players_were_told(installed, slips)
    await installed.command("verify")


async def _kill_in_turn(
    installed: Installation, matches: list[str], journal: Journal, slips: Slips, rng: random.Random
) -> None:
    """Each victim in turn, each time only after traffic has flowed again on both ways since the last one."""
    rulings = iter(_rulings(matches))
    for _ in range(ROUNDS):
        for victim in rng.sample(VICTIMS, len(VICTIMS)):
            await _progress(journal, slips)
            await asyncio.sleep(rng.random() * 0.2)  # the moment of death is anywhere in a batch
            await installed.kill_and_restart(victim, rng)
        if ruling := next(rulings, None):
            await _insist(installed, *ruling)
    for ruling in rulings:
        await _insist(installed, *ruling)


def _rulings(matches: list[str]) -> list[tuple[str, ...]]:
    """What is decided while processes die: results, a void, a correction. The first match stays open."""
    _, won, void, drawn, *_ = matches
    return [
        ("sportsbook", "match", "result", won, "2", "1"),
        ("sportsbook", "match", "void", void),
        ("sportsbook", "match", "result", drawn, "0", "0"),
        ("sportsbook", "match", "correct", won, "0", "3"),
    ]


async def _settle_everything(installed: Installation, matches: list[str]) -> None:
    """Decide what is still open, then wait until every callback has its answer."""
    for match in (matches[0], *matches[4:]):
        await _insist(installed, "sportsbook", "match", "result", match, "1", "2")
    async with _reading(installed) as db:
        give_up = time.monotonic() + DRAIN_SECONDS
        while any(left := [await db.fetchval(UNANSWERED), await db.fetchval(OPEN_BETS)]):
            assert time.monotonic() < give_up, f"callbacks and bets still open long after the faults: {left}"
            await asyncio.sleep(0.2)


async def _insist(installed: Installation, *words: str) -> None:
    """A command repeated while parts of the installation are away; deciding the same twice is refused."""
    for _ in range(20):
        try:
            await installed.command(*words)
        except CommandFailed as failed:
            if "ALREADY" in str(failed):
                return
            await asyncio.sleep(0.5)
        else:
            return
    raise AssertionError(f"{' '.join(words)} never went through")


async def _progress(journal: Journal, slips: Slips) -> None:
    """Wait until more has been acknowledged, directly and through the sportsbook, than when this began."""
    accepted, told = len(journal.accepted) + 30, len(slips.told) + 5
    async with asyncio.timeout(90):
        while len(journal.accepted) < accepted or len(slips.told) < told:
            await asyncio.sleep(0.01)


async def _import_matches(installed: Installation) -> list[str]:
    """Import the fixtures of STAKEWIRE_KILL_FIXTURES, or a few of our own; the ids to bet on."""
    given = os.environ.get("STAKEWIRE_KILL_FIXTURES")
    path = Path(given) if given else _write_fixtures(installed.folder / "fixtures.csv")
    league = REAL_LEAGUE if given else LEAGUE
    await installed.command("sportsbook", "import", str(path), *(("--kickoff-from", "now") if given else ()))
    listed = await installed.command("sportsbook", "match", "list", "--league", league, "--limit", "1000")
    matches = sorted(listed["matches"], key=lambda match: (match["kickoff"], match["id"]))
    soonest = datetime.now(UTC) + timedelta(hours=1)  # none may kick off before the kills are over
    late = [match for match in matches if datetime.fromisoformat(match["kickoff"]) > soonest]
    return [str(match["id"]) for match in late[:MATCHES]]


def _write_fixtures(path: Path) -> Path:
    kickoff = datetime.now(UTC) + timedelta(hours=2)
    names = ("home_win", "draw", "away_win", "over_2.5", "under_2.5")
    rows = ["league,kickoff_utc,home_team,away_team," + ",".join(f"market_average_{name}" for name in names)]
    rows += [
        f"{LEAGUE},{kickoff:%Y-%m-%d %H:%M:%S}+00:00,Home {number},Away {number},2.40,3.30,3.10,1.95,1.90"
        for number in range(1, MATCHES + 1)
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


async def _create_players(installed: Installation) -> None:
    headers = {"Authorization": f"Bearer {installed.admin_token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for player in (*DIRECT_PLAYERS, *BETTORS):
            deposit = f"{OPENING_CENTS // 100}.00" if player in DIRECT_PLAYERS else "1000.00"
            body = {"user_id": player, "currency": "EUR", "deposit": deposit}
            async with http.post(
                f"{installed.wallet_url}/admin/v1/players",
                json=body,
                headers={"Idempotency-Key": f"open-{player}"},
            ) as answer:
                assert answer.status in (200, 201), await answer.text()


async def _balances(installed: Installation, players: list[str]) -> dict[str, int]:
    """Each player's balance in cents, as the wallet's own command says."""
    found = {}
    for player in players:
        shown = await installed.command("wallet", "player", "show", player)
        found[player] = int(Decimal(shown["accounts"][0]["balance"]) * 100)
    return found


async def _balances_by_bets(installed: Installation) -> dict[str, int]:
    """What the bettors must have, going by the sportsbook's bets alone."""
    async with _reading(installed) as db:
        effects = {row["user_id"]: row["cents"] for row in await db.fetch(EFFECT_OF_BETS)}
    return {player: 100_000 + effects.get(player, 0) for player in BETTORS}


async def _check_what_players_were_told(installed: Installation, slips: Slips) -> None:
    """A bet shown as accepted is one for ever; a bet shown as refused never is."""
    async with _reading(installed) as db:
        states = {
            str(row["id"]): row["state"] for row in await db.fetch("SELECT id, state FROM sportsbook.bet")
        }
    broken = {
        bet: (told, states.get(bet))
        for bet, told in slips.told.items()
        if (told == "refused") != (states.get(bet) == "refused")
        and not (told == "pending" and states.get(bet) is not None)
    }
    assert broken == {}


@contextlib.asynccontextmanager
async def _reading(installed: Installation) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    db = await asyncpg.connect(installed.dsn)
    try:
        yield db
    finally:
        await db.close()


def _free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
