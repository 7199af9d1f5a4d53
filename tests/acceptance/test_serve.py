"""`stakewire serve`: ready line, TLS, workers, listeners of their own, refusals."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.processes import Running, get, processes_of, stakewire, wait_for

from stakewire.postgres.connect import connected

TOKEN = "a-token-of-some-length"


def _address(running: Running, side: str) -> str:
    return running.wait_for_line(f"stakewire {side} ready on ").rpartition(" ")[2]


@pytest.mark.parametrize("side", ["wallet", "sportsbook"])
def test_a_side_alone_starts_its_own_database_and_stops_it(folder: Path, side: str) -> None:
    """One line when it is ready, live and ready by HTTP, and no process after SIGTERM."""
    with Running("serve", side, "--port", "0", "--data", "data", cwd=folder) as running:
        address = _address(running, side)
        assert get(f"{address}/health/live")[0] == 200
        assert get(f"{address}/health/ready")[0] == 200
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    wait_for(lambda: not processes_of(str(folder)), "no process left")


@pytest.mark.parametrize("side", ["wallet", "sportsbook"])
def test_several_workers_share_a_port_and_are_replaced(folder: Path, side: str) -> None:
    """A worker that is killed is started again; Ctrl-C stops all of them."""
    with Running("serve", side, "--port", "0", "--workers", "2", "--data", "data", cwd=folder) as running:
        address = _address(running, side)
        workers = _workers(running)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        wait_for(lambda: len(_workers(running)) == 2 and workers[0] not in _workers(running), "a new worker")
        wait_for(lambda: get(f"{address}/health/ready")[0] == 200, "ready again")
        running.signal(signal.SIGINT)
        assert running.wait() == 0
    wait_for(lambda: not processes_of(str(folder)), "no process left")


def _workers(running: Running) -> list[int]:
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    files = [
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    ]
    subprocess.run([*request.split(), *files], check=True, capture_output=True)
    yield cert, key


@pytest.mark.parametrize("side", ["wallet", "sportsbook"])
def test_tls_by_flags(folder: Path, certificate: tuple[Path, Path], side: str) -> None:
    """The ready line says https, and the certificate is the one given."""
    cert, key = certificate
    flags = ("--tls-cert", str(cert), "--tls-key", str(key))
    with Running("serve", side, "--port", "0", "--data", "data", *flags, cwd=folder) as running:
        address = _address(running, side)
        assert address.startswith("https://")
        trust = ssl.create_default_context(cafile=str(cert))
        with urllib.request.urlopen(f"{address}/health/ready", context=trust, timeout=5) as answer:
            assert answer.status == 200


def test_a_certificate_without_its_key_is_one_sentence(folder: Path, certificate: tuple[Path, Path]) -> None:
    """Before anything is started."""
    tried = stakewire("serve", "wallet", "--tls-cert", str(certificate[0]), "--data", "data", cwd=folder)
    assert (tried.returncode, tried.stderr) == (
        7,
        "stakewire: --tls-cert and --tls-key must be given together\n",
    )


def test_with_an_admin_port_the_public_port_has_no_admin_api(folder: Path) -> None:
    """What steers money is not where the players' traffic comes in."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        admin = free.getsockname()[1]
    flags = ("--port", "0", "--admin-port", str(admin), "--data", "data")
    with Running("serve", "wallet", *flags, cwd=folder, env={"STAKEWIRE_ADMIN_TOKEN": TOKEN}) as running:
        public = _address(running, "wallet")
        ask = urllib.request.Request(
            f"http://127.0.0.1:{admin}/admin/v1/operators", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(ask, timeout=5) as answer:
            assert answer.status == 200
        assert get(f"{public}/admin/v1/operators")[0] == 404


@pytest.mark.parametrize("side", ["wallet", "sportsbook"])
def test_a_port_in_use_is_one_sentence(folder: Path, side: str) -> None:
    """With the port, before the database is touched."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        tried = stakewire("serve", side, "--port", str(port), "--data", "data", cwd=folder)
    assert tried.returncode == 7
    [sentence] = tried.stderr.splitlines()
    assert f"port {port} on 127.0.0.1 is in use" in sentence
    assert not (folder / "data" / "postgres").exists()


@pytest.mark.parametrize("token", ["", "short", "changeme"])
def test_an_empty_or_default_admin_token_is_refused(folder: Path, token: str) -> None:
    """The sentence names the variable and does not repeat the token."""
    tried = stakewire("serve", "wallet", "--data", "data", cwd=folder, env={"STAKEWIRE_ADMIN_TOKEN": token})
    assert tried.returncode in (2, 7)
    [sentence] = tried.stderr.splitlines()
    assert "STAKEWIRE_ADMIN_TOKEN" in sentence


@pytest.mark.parametrize("side", ["wallet", "sportsbook"])
async def test_a_server_that_forgets_is_refused_at_the_start(
    folder: Path, database_url: str, side: str
) -> None:
    """synchronous_commit=off in the database: exit code 7 and one sentence with the setting."""
    async with connected(database_url, application_name="tests") as conn:
        name = await conn.fetchval("SELECT current_database()")
        await conn.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    tried = stakewire("serve", side, "--port", "0", "--database-url", database_url, cwd=folder)
    assert tried.returncode == 7
    assert "synchronous_commit=off" in tried.stderr


def test_an_outside_database_must_have_been_migrated(folder: Path, postgres_empty: str) -> None:
    """`serve` says what to run and does not change somebody else's database; after `db migrate` it starts."""
    tried = stakewire("serve", "wallet", "--port", "0", "--database-url", postgres_empty, cwd=folder)
    assert tried.returncode == 7
    assert "run: stakewire db migrate" in tried.stderr
    migrated = stakewire("db", "migrate", "--database-url", postgres_empty, "--json", cwd=folder)
    assert {one["side"] for one in json.loads(migrated.stdout)["applied"]} == {"wallet", "sportsbook", "hub"}
    with Running("serve", "wallet", "--port", "0", "--database-url", postgres_empty, cwd=folder) as running:
        assert get(f"{_address(running, 'wallet')}/health/ready")[0] == 200


@pytest.mark.parametrize("side", ["wallet", "sportsbook"])
async def test_a_side_needs_no_more_than_its_own_role(folder: Path, database_url: str, side: str) -> None:
    """A database user who was granted the side's role and nothing else can run it, and do nothing more."""
    user = f"{side}_service_{uuid.uuid4().hex[:8]}"
    async with connected(database_url, application_name="tests") as conn:
        await conn.execute(f"CREATE ROLE {user} LOGIN IN ROLE stakewire_{side}_app")
    url = database_url.replace("postgres@", f"{user}@")
    assert stakewire("db", "check", "--side", side, "--database-url", url, cwd=folder).returncode == 0
    assert stakewire("db", "migrate", "--side", side, "--database-url", url, cwd=folder).returncode == 7
    with Running("serve", side, "--port", "0", "--database-url", url, cwd=folder) as running:
        assert get(f"{_address(running, side)}/health/ready")[0] == 200


def test_a_database_that_is_away_is_told_from_a_wrong_setting(folder: Path) -> None:
    """Exit code 6: trying again may help."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://u@127.0.0.1:{nobody.getsockname()[1]}/d"
        tried = stakewire("serve", "wallet", "--port", "0", "--database-url", url, "--json", cwd=folder)
    assert tried.returncode == 6
    assert json.loads(tried.stdout)["error"] == "UNAVAILABLE"
