"""The wallet's claim: signed callbacks per second over HTTP, durable, audited, against named peers.

Every round runs each contestant in turn on the same embedded PostgreSQL, so that a slow minute of the
machine hits all of them; the figure is the median of the rounds and the claim is a
ratio of medians. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
from benchmarks.machine import (
    Load,
    Series,
    build_loadgen,
    child,
    describe_machine,
    memory_mb,
    progress,
    run_load,
    versions,
)
from benchmarks.traffic import player_name, write_traffic

from stakewire.postgres.embedded import EmbeddedPostgres, server_program

OPERATOR = "bench"
PLAYERS = 10_000
HOT_PLAYERS = 10
FASTEST = 45_000  # requests a second that a file must last for; running out ends the benchmark
ONE_WORKER, TWO_WORKERS, COMMON = 18_301, 18_302, 18_303


@dataclass(kw_only=True)
class Rounds:
    """What each contestant did, one entry a round."""

    pgbench: list[float] = field(default_factory=list)
    common: list[Load] = field(default_factory=list)
    wallet: dict[str, list[Load]] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)

    def keep(self, name: str, load: Load) -> None:
        self.wallet.setdefault(name, []).append(load)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where everything of one run is."""

    folder: Path
    loadgen: Path
    dsn: str
    pgbench_dsn: str
    pgbench: Path
    secret: str
    seconds: float
    run: str

    def load(
        self,
        name: str,
        port: int,
        connections: int,
        *,
        per_second: float,
        players: int = PLAYERS,
        rate: float = 0,
        stake_cents: tuple[int, int] = (50, 2_000),
    ) -> Load:
        """Fresh traffic for one measurement; `per_second` is the fastest that it may be consumed."""
        warmup = 1.0
        first = 0 if players == PLAYERS else PLAYERS
        requests = self.folder / "requests.bin"
        traffic = write_traffic(
            requests,
            run=f"{self.run}-{secrets.token_hex(4)}",
            count=int((warmup + self.seconds) * per_second),
            players=[player_name(first + number) for number in range(players)],
            operator=OPERATOR,
            secret=self.secret,
            host=f"127.0.0.1:{port}",
            stake_cents=stake_cents,
        )
        load = run_load(
            self.loadgen, port, connections, traffic.path, warmup=warmup, seconds=self.seconds, rate=rate
        )
        requests.unlink()
        if load.other_errors or load.not_200:
            raise SystemExit(
                f"{name}: {load.other_errors} unexpected answers and {load.not_200} that were not 200: {load}"
            )
        progress(f"{name}: {load.per_second:,.0f}/s, p50 {load.p50_ms:.2f} ms, p99 {load.p99_ms:.2f} ms")
        return load


def run_pgbench(bench: Bench) -> float:
    """Transactions per second of `pgbench` TPC-B-like, 32 clients, prepared statements."""
    done = subprocess.run(
        [str(bench.pgbench), "-M", "prepared", "-c", "32", "-j", "2", "-n", "-T", str(int(bench.seconds)),
         bench.pgbench_dsn],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    tps = next(
        float(line.split("=")[1].split()[0]) for line in done.stdout.splitlines() if line.startswith("tps")
    )
    progress(f"pgbench TPC-B-like: {tps:,.0f}/s")
    return tps


async def seed_wallet(url: str, token: str) -> None:
    """Create the players over the admin API; the hot ones are nearly broke."""
    gate = asyncio.Semaphore(64)
    headers = {"Authorization": f"Bearer {token}"}

    async with aiohttp.ClientSession(base_url=url, headers=headers) as http:

        async def add(number: int) -> None:
            deposit = "100000.00" if number < PLAYERS else "20.00"
            body = {"user_id": player_name(number), "currency": "EUR", "deposit": deposit}
            async with (
                gate,
                http.post(
                    "/admin/v1/players", json=body, headers={"Idempotency-Key": f"seed-{number}"}
                ) as answer,
            ):
                if answer.status not in (200, 201):
                    raise SystemExit(f"a player could not be made: {answer.status} {await answer.text()}")

        await asyncio.gather(*(add(number) for number in range(PLAYERS + HOT_PLAYERS)))


async def seed_common(dsn: str) -> None:
    """The common stack's own tables, filled with the same players."""
    db = await asyncpg.connect(dsn)
    await db.execute(
        """
        CREATE TABLE account (
            id serial PRIMARY KEY, user_id varchar(128) UNIQUE, currency varchar(8), balance numeric(20, 2));
        CREATE TABLE entry (
            transaction_id varchar(128) PRIMARY KEY, own_id varchar(36) UNIQUE,
            account_id int REFERENCES account (id), action varchar(8), amount numeric(20, 2),
            error varchar(32), target varchar(128), undone boolean, created_at timestamp);
        """
    )
    await db.executemany(
        "INSERT INTO account (user_id, currency, balance) VALUES ($1, 'EUR', 100000)",
        [(player_name(number),) for number in range(PLAYERS)],
    )
    await db.execute("ANALYZE")
    await db.close()


def audit(cli: Sequence[str], env: dict[str, str]) -> None:
    """`stakewire verify` on the whole ledger; any broken invariant ends the run."""
    done = subprocess.run(
        [*cli, "verify", "--json"], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the ledger is not clean after the load:\n{done.stdout}{done.stderr}")


def measure(bench: Bench, rounds: int, cli: Sequence[str], env: dict[str, str]) -> Rounds:
    """All contestants, `rounds` times in turn, each wallet alone on the machine while it is measured."""
    kept = Rounds()
    common_env = {"DATABASE_URL": bench.pgbench_dsn.replace("/pgbench", "/common").replace(
        "postgresql://", "postgresql+asyncpg://"), "SECRET": bench.secret}  # fmt: skip
    uvicorn = [sys.executable, "-m", "uvicorn", "benchmarks.common_stack:app", "--workers", "2",
               "--port", str(COMMON), "--log-level", "warning", "--timeout-keep-alive", "300"]  # fmt: skip

    def wallet(port: int, workers: int) -> tuple[list[str], dict[str, str]]:
        argv = [*cli, "serve", "wallet", "--port", str(port), "--workers", str(workers)]
        return argv, env

    for number in range(1, rounds + 1):
        progress(f"round {number} of {rounds}")
        kept.pgbench.append(run_pgbench(bench))
        with child(uvicorn, env=common_env, ready_url=f"http://127.0.0.1:{COMMON}/docs"):
            kept.common.append(bench.load("common stack, 64 connections", COMMON, 64, per_second=4_000))
        argv, environment = wallet(ONE_WORKER, 1)
        with child(argv, env=environment, ready_url=f"http://127.0.0.1:{ONE_WORKER}/health/ready") as process:
            best = bench.load("wallet, 1 worker, 256 connections", ONE_WORKER, 256, per_second=FASTEST)
            kept.keep("1 worker, 256 connections", best)
            kept.keep(
                "1 worker, 64 connections",
                bench.load("wallet, 64 connections", ONE_WORKER, 64, per_second=FASTEST),
            )
            half = best.per_second / 2
            kept.keep(
                "1 worker, half of its maximum rate",
                bench.load("wallet, half rate", ONE_WORKER, 256, per_second=half * 1.05, rate=half),
            )
            kept.keep(
                f"1 worker, all traffic on {HOT_PLAYERS} nearly broke players",
                bench.load("wallet, hot players", ONE_WORKER, 256, per_second=FASTEST, players=HOT_PLAYERS,
                           stake_cents=(50, 3_000)),
            )  # fmt: skip
            kept.memory.append(memory_mb(process.pid)[0])
        audit(cli, env)
        argv, environment = wallet(TWO_WORKERS, 2)
        with child(
            argv, env=environment, ready_url=f"http://127.0.0.1:{TWO_WORKERS}/health/ready"
        ) as process:
            kept.keep(
                "2 workers, 256 connections",
                bench.load("wallet, 2 workers", TWO_WORKERS, 256, per_second=FASTEST),
            )
            kept.memory.append(memory_mb(process.pid)[0])
        audit(cli, env)
        progress("ledger audited: clean")
    return kept


def report(kept: Rounds) -> dict[str, object]:
    """Print the figures and return them as one document."""
    pgbench = Series(kept.pgbench)
    common = Series([load.per_second for load in kept.common])
    best = Series([load.per_second for load in kept.wallet["1 worker, 256 connections"]])
    half = Series([load.p99_ms for load in kept.wallet["1 worker, half of its maximum rate"]])
    lines = [
        f"pgbench TPC-B-like, 32 clients, prepared        {pgbench.show()} tx/s",
        f"common stack (FastAPI + SQLAlchemy), 64 conns.  {common.show()} tx/s, "
        f"p99 {Series([load.p99_ms for load in kept.common]).show(1)} ms",
    ]
    for name, loads in kept.wallet.items():
        rate = Series([load.per_second for load in loads])
        p50, p99 = Series([load.p50_ms for load in loads]), Series([load.p99_ms for load in loads])
        lines.append(f"wallet, {name}: {rate.show()} tx/s, p50 {p50.show(2)} ms, p99 {p99.show(2)} ms")
    cost = Series([load.generator_us_per_request for loads in kept.wallet.values() for load in loads])
    lines += [
        f"load generator: {cost.show(1)} us of CPU a request, on the same cores",
        f"memory of a worker: {max(kept.memory):,.0f} MB at most",
        f"wallet, 256 connections: {best.median / pgbench.median:.1f} x pgbench (claim: at least 4)",
        f"and {best.median / common.median:.1f} x the common stack (claim: at least 25)",
        f"p99 at half of the maximum rate: {half.median:.1f} ms (claim: at most 10)",
    ]
    print("\n".join(lines))
    return {
        "pgbench_tps": kept.pgbench,
        "common_tps": [load.per_second for load in kept.common],
        "wallet": {name: [load.per_second for load in loads] for name, loads in kept.wallet.items()},
        "ratio_pgbench": best.median / pgbench.median,
        "ratio_common": best.median / common.median,
        "p99_ms_at_half_rate": half.median,
        "memory_mb": max(kept.memory),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    print(describe_machine())
    print(
        versions("stakewire", "asyncpg", "uvloop", "httptools", "msgspec", "fastapi", "sqlalchemy", "uvicorn")
    )
    with tempfile.TemporaryDirectory(prefix="stakewire-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "data")
        try:
            document = _run(folder, postgres, postgres.start(), rounds=chosen.rounds, seconds=chosen.seconds)
        finally:
            postgres.stop()
    if chosen.json:
        chosen.json.write_text(json.dumps(document, indent=1))


def _run(
    folder: Path, postgres: EmbeddedPostgres, dsn: str, *, rounds: int, seconds: float
) -> dict[str, object]:
    admin_token, secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    env = {
        "STAKEWIRE_DATA": str(folder / "data"),
        "STAKEWIRE_ADMIN_TOKEN": admin_token,
        "STAKEWIRE_SECURITY_HASH": secret,
    }
    cli = [sys.executable, "-m", "stakewire"]
    progress("preparing: ledger, players, pgbench at scale 100")
    subprocess.run(
        [*cli, "wallet", "operator", "add", OPERATOR, "--security-hash", secret],
        env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with child(
        [*cli, "serve", "wallet", "--port", str(ONE_WORKER)],
        env=env,
        ready_url=f"http://127.0.0.1:{ONE_WORKER}/health/ready",
    ):
        asyncio.run(seed_wallet(f"http://127.0.0.1:{ONE_WORKER}", admin_token))
    pgbench_dsn, common_dsn = asyncio.run(_databases(dsn))
    asyncio.run(seed_common(common_dsn))
    subprocess.run(
        [str(server_program("pgbench")), "-i", "-q", "-s", "100", pgbench_dsn],
        check=True,
        capture_output=True,
    )
    asyncio.run(_checkpoint(dsn))
    bench = Bench(
        folder=folder, loadgen=build_loadgen(folder), dsn=dsn, pgbench_dsn=pgbench_dsn,
        pgbench=server_program("pgbench"), secret=secret, seconds=seconds, run=secrets.token_hex(3),
    )  # fmt: skip
    return report(measure(bench, rounds, cli, env))


async def _checkpoint(dsn: str) -> None:
    """Begin like a server that has run for a while: with log segments to use again, not new ones to fill."""
    db = await asyncpg.connect(dsn)
    await db.execute("CHECKPOINT")
    await db.close()


async def _databases(dsn: str) -> tuple[str, str]:
    """Databases of their own for the peers, in the same server."""
    db = await asyncpg.connect(dsn)
    base, _, query = dsn.partition("?")
    found = []
    for name in ("pgbench", "common"):
        await db.execute(f"CREATE DATABASE {name}")
        found.append(base.rsplit("/", 1)[0] + f"/{name}?{query}")
    await db.close()
    return found[0], found[1]


if __name__ == "__main__":
    main()
