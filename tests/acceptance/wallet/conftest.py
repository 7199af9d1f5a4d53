"""One wallet process on one database for the tests that do not mind each other."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.acceptance.wallet.service import MASTER_KEY, SECRET, WalletClient, WalletProcess, running
from tests.conftest import NewDatabase

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def wallet(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalletProcess]:
    """A wallet with the operators `acme` and `beta`."""
    process = WalletProcess(new_database("wallet"), tmp_path_factory.mktemp("wallet"))
    with running(process), process.client() as client:
        for name in ("acme", "beta"):
            made = client.admin("POST", "/operators", {"name": name, "security_hash": SECRET})
            assert made.status == 201, made.body
        yield process


@dataclass(frozen=True)
class Mounted:
    """Where the mounted callbacks answer."""

    port: int
    prefix: str


@pytest.fixture(scope="session")
def mounted(wallet: WalletProcess) -> Iterator[Mounted]:
    """Another process on the same database, with the callbacks as plain ASGI below a prefix."""
    script = Path(__file__).with_name("mounted_app.py")
    words = [sys.executable, str(script), wallet.database_url, str(wallet.data), MASTER_KEY]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        port, prefix = process.stdout.readline().decode().split()
        yield Mounted(int(port), prefix)
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


@pytest.fixture
def client(wallet: WalletProcess) -> Iterator[WalletClient]:
    """A connection to the common wallet."""
    with wallet.client() as connection:
        yield connection


@pytest.fixture
def fresh_wallet(new_database: NewDatabase, tmp_path: Path) -> Iterator[WalletProcess]:
    """A wallet process of the test's own, not started."""
    process = WalletProcess(new_database("wallet"), tmp_path / "data")
    yield process
    if process._process is not None:
        process.stop()


NewPlayer = Callable[..., str]


@pytest.fixture
def new_player(client: WalletClient) -> NewPlayer:
    """Makes a player with money; gives the name."""

    def make(deposit: str = "100.00", currency: str = "EUR") -> str:
        user = f"player-{next(_numbers)}"
        body = {"user_id": user, "currency": currency, "deposit": deposit}
        made = client.admin("POST", "/players", body, key=f"open-{user}")
        assert made.status == 201, made.body
        return user

    return make
