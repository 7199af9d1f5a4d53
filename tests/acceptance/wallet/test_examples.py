"""The examples run as they stand: a platform's own wallet answers real callbacks."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.wallet.service import WalletClient, bet, result, rollback, signed

EXAMPLES = Path(__file__).parents[3] / "examples"
HASH = "my-own-wallet-hash"


@pytest.fixture(params=["own_wallet_function.py", "own_wallet_asgi.py"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WalletClient]:
    """The example as a process, with its database in a file."""
    words = [sys.executable, str(EXAMPLES / request.param), "0", str(tmp_path / "wallet.db")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        assert line.startswith("own wallet ready on http://127.0.0.1:"), line
        with WalletClient(int(line.split(":")[-1].partition("/")[0])) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def test_a_platforms_own_wallet(example: WalletClient, tmp_path: Path) -> None:
    """Bets, copies, declines, tombstones, rollbacks and wrong signatures, over the platform's own SQLite."""

    def send(raw: bytes, secret: str = HASH) -> tuple[str | None, bytes]:
        path = "transaction-rollback" if b'"rollback"' in raw else "transaction"
        reply = example.send("POST", f"/callbacks/{path}", raw, signed(raw, secret))
        assert reply.status == 200
        return reply.error, reply.body

    first = send(bet("t1", "alice", "40.00"))
    assert first[0] is None
    assert send(bet("t1", "alice", "40")) == first
    assert send(bet("t1", "alice", "41")) == send(bet("t1", "alice", "41")) == first
    with contextlib.closing(sqlite3.connect(tmp_path / "wallet.db")) as database:
        kept = database.execute("SELECT transaction_id, raw FROM altered_callback").fetchall()
    assert kept == [("t1", bet("t1", "alice", "41"))]
    assert send(bet("t2", "alice", "60.01"))[0] == "INSUFFICENT_FUNDS"
    assert send(result("t3", "alice", "25.50"))[0] is None
    assert send(bet("t2", "alice", "60.01"))[0] == "INSUFFICENT_FUNDS"
    assert send(rollback("r1", "t1", "alice", "40"))[0] is None
    assert send(rollback("r2", "later", "alice", "1"))[0] is None
    assert send(bet("later", "alice", "1"))[0] == "TRANSACTION_ROLLED_BACK"
    assert send(bet("t4", "bob", "1"))[0] == "USER_NOT_FOUND"
    assert send(bet("t5", "alice", "125.50"), "not-the-hash-of-it")[0] == "INVALID_SIGNATURE"
    assert send(bet("t5", "alice", "125.50"))[0] is None
    assert send(bet("t6", "alice", "0.01"))[0] == "INSUFFICENT_FUNDS"
    assert example.send("POST", "/callbacks/other", b"{}").status == 404
