"""The sportsbook's claims: callbacks acknowledged per second; 100,000 bets of one match settled and paid.

Wallet, sportsbook and PostgreSQL share the machine. The bets are put into the tables as accepted ones
(placing them is measured on its own), the match is settled by the ordinary command, and the clock stops when
the last callback has been acknowledged by the wallet and recorded. Then both sides are compared bet by bet
and the ledger is audited.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
from benchmarks.machine import Series, child, describe_machine, progress, versions
from benchmarks.traffic import player_name
from benchmarks.wallet import audit, seed_wallet

from stakewire.postgres.embedded import EmbeddedPostgres

WALLET_PORT, SPORTSBOOK_PORT = 18_311, 18_312
BETS = 100_000
PLAYERS = 10_000

ACCEPTED_BETS = """
    INSERT INTO sportsbook.bet (id, slot, client_id, user_id, currency, match_id, outcome_id, stake, odds,
                                slip_id, state, placed_at, answer_by, changed_at)
    SELECT $1::bigint + n, 0, client.id, 'bench-player-' || lpad((n % $2)::text, 5, '0'), 'EUR',
           outcome.match_id, outcome.id, 100 + n % 1900, outcome.odds,
           gen_random_uuid(), 'accepted', now(), now(), now()
    FROM generate_series(1, $3::int) AS n
    JOIN sportsbook.outcome ON outcome.match_id = $4 AND outcome.market = '1x2'
         AND outcome.name = (ARRAY['1', 'X', '2'])[1 + n % 3]
    CROSS JOIN (SELECT id FROM sportsbook.client LIMIT 1) AS client
"""
LEFT = "SELECT count(*) FROM sportsbook.callback WHERE state NOT IN ('answered', 'final')"
SETTLED = "SELECT count(*) FROM sportsbook.bet WHERE match_id = $1 AND state IN ('won', 'lost')"
# Both schemas are in one database here, which no product code relies on: only an audit may look across.
DIFFERENCES = """
    SELECT count(*) FROM sportsbook.callback AS said
    FULL JOIN (SELECT tx_id, delta FROM wallet.transaction WHERE kind = 2) AS done
           ON done.tx_id = said.transaction_id
    WHERE said.action = 'result' AND (done.tx_id IS NULL OR done.delta <> said.amount)
"""


class Bench:
    """One installation under measurement."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.dsn = dsn
        self.admin_token = secrets.token_urlsafe(32)
        self.client: dict[str, object] = {}
        self.cli = [sys.executable, "-m", "stakewire"]
        self.env = {
            "STAKEWIRE_DATA": str(folder / "data"),
            "STAKEWIRE_ADMIN_TOKEN": self.admin_token,
            "STAKEWIRE_EGRESS_ALLOW": "127.0.0.0/8",
            "STAKEWIRE_SPORTSBOOK_BETS_PER_MINUTE": "1000000",
        }

    def command(self, *words: str) -> dict[str, object]:
        done = subprocess.run(
            [*self.cli, *words, "--json"],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        document: dict[str, object] = json.loads(done.stdout)
        return document

    def prepare(self) -> None:
        secret = secrets.token_urlsafe(32)
        self.command("wallet", "operator", "add", "bench", "--security-hash", secret)
        self.client = self.command(
            "sportsbook", "client", "add", "bench", "--security-hash", secret, "--currency", "EUR",
            "--callback-url", f"http://127.0.0.1:{WALLET_PORT}/callbacks/bench",
        )  # fmt: skip

    def import_match(self, number: int) -> None:
        """One fixture an hour from now, imported like anybody's."""
        kickoff = datetime.now(UTC) + timedelta(hours=1)
        odds = {
            "home_win": "2.40",
            "draw": "3.30",
            "away_win": "3.10",
            "over_2.5": "1.95",
            "under_2.5": "1.90",
        }
        row = {
            "league": "BENCH",
            "kickoff_utc": f"{kickoff:%Y-%m-%d %H:%M:%S}+00:00",
            "home_team": f"Home {number}",
            "away_team": f"Away {number}",
            **{f"market_average_{name}": price for name, price in odds.items()},
        }
        path = self.folder / "fixtures.csv"
        with path.open("w", newline="") as out:
            table = csv.DictWriter(out, fieldnames=list(row))
            table.writeheader()
            table.writerow(row)
        self.command("sportsbook", "import", str(path))


async def settle(bench: Bench, number: int) -> tuple[float, float]:
    """Settle 100,000 bets of one match, to the last acknowledgement: (seconds, callbacks per second)."""
    bench.import_match(number)
    db = await asyncpg.connect(bench.dsn)
    match_id = await db.fetchval("SELECT max(id) FROM sportsbook.match")
    await db.execute(ACCEPTED_BETS, (1 << 60) + number * BETS, PLAYERS, BETS, match_id)
    await db.execute("ANALYZE sportsbook.bet")
    began = time.monotonic()
    command = asyncio.create_task(
        asyncio.to_thread(bench.command, "sportsbook", "match", "result", str(match_id), "2", "1")
    )
    first: float | None = None
    while True:
        await asyncio.sleep(0.25)
        settled, left = await db.fetchval(SETTLED, match_id), await db.fetchval(LEFT)
        if first is None and settled:
            first = time.monotonic()
        if int((time.monotonic() - began) * 4) % 8 == 0:
            progress(f"{settled:,} bets settled, {left:,} callbacks to go")
        if settled == BETS and not left:
            break
        if time.monotonic() - began > 300:
            raise SystemExit(f"the queue is not drained after 300 s: {settled} settled, {left} left")
    ended = time.monotonic()
    await command
    different = await db.fetchval(DIFFERENCES)
    await db.close()
    if different:
        raise SystemExit(f"{different} results differ between the two sides")
    audit(bench.cli, bench.env)
    return ended - began, BETS / (ended - (first or began))


async def place_bets(bench: Bench, seconds: float, players: int = 64) -> float:
    """Accepted bets per second from `players` browsers at once, each waiting for its answer."""
    bench.import_match(0)
    accepted = 0
    until = time.monotonic() + seconds

    async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{SPORTSBOOK_PORT}") as http:
        credentials = {"username": bench.client["username"], "password": bench.client["password"]}
        async with http.post("/v1/auth", json=credentials) as answer:
            token = (await answer.json())["token"]

        async def player(number: int) -> None:
            nonlocal accepted
            asked = {"user_id": player_name(number), "currency": "EUR"}
            async with http.post(
                "/v1/start-session", json=asked, headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                launch = (await answer.json())["url"]
            async with http.get(launch[launch.index("/launch") :], allow_redirects=False) as answer:
                session = answer.headers["Location"].partition("#s=")[2]
            headers = {"Authorization": f"Bearer {session}", "Origin": f"http://127.0.0.1:{SPORTSBOOK_PORT}"}
            async with http.get("/v1/page/matches", headers=headers) as answer:
                outcome = (await answer.json())["matches"][0]["markets"][0]["outcomes"][0]
            while time.monotonic() < until:
                slip = {"slip_id": f"{secrets.token_hex(4)}-0000-4000-8000-{secrets.token_hex(6)}",
                        "outcome_id": outcome["id"], "odds": outcome["odds"], "stake": "1.00"}  # fmt: skip
                async with http.post("/v1/page/bets", json=slip, headers=headers) as answer:
                    document = await answer.json()
                    if answer.status != 200 or document["bet"]["state"] != "accepted":
                        raise SystemExit(f"a bet was not accepted: {answer.status} {document}")
                    accepted += 1

        await asyncio.gather(*(player(number) for number in range(players)))
    return accepted / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    print(describe_machine())
    print(versions("stakewire", "asyncpg", "uvloop", "httptools", "msgspec"))
    with tempfile.TemporaryDirectory(prefix="stakewire-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "data")
        try:
            document = _measure(Bench(folder, postgres.start()), chosen.rounds)
        finally:
            postgres.stop()
    if chosen.json:
        chosen.json.write_text(json.dumps(document, indent=1))


def _measure(bench: Bench, rounds: int) -> dict[str, object]:
    bench.prepare()
    serve = [*bench.cli, "serve"]
    with (
        child([*serve, "wallet", "--port", str(WALLET_PORT)], env=bench.env,
              ready_url=f"http://127.0.0.1:{WALLET_PORT}/health/ready"),
        child([*serve, "sportsbook", "--port", str(SPORTSBOOK_PORT)], env=bench.env,
              ready_url=f"http://127.0.0.1:{SPORTSBOOK_PORT}/health/ready"),
    ):  # fmt: skip
        asyncio.run(seed_wallet(f"http://127.0.0.1:{WALLET_PORT}", bench.admin_token))
        placed = Series([asyncio.run(place_bets(bench, 5)) for _ in range(rounds)])
        runs = [asyncio.run(settle(bench, number)) for number in range(1, rounds + 1)]
    whole, rate = Series([seconds for seconds, _ in runs]), Series([rate for _, rate in runs])
    print(f"bets placed in 64 pages at once, through the whole chain: {placed.show()} bets/s")
    print(f"{BETS:,} bets of one match settled, paid and acknowledged: {whole.show(1)} s")
    print(f"callbacks delivered and acknowledged: {rate.show()} /s (claim: at least 5,000)")
    return {"bets_per_second": placed.values, "seconds": whole.values, "callbacks_per_second": rate.values}


if __name__ == "__main__":
    main()
