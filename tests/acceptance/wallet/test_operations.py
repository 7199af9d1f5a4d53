"""What happens to a running wallet: rotation, floods, restarts, lost databases, wrong starts."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
from tests.acceptance.wallet.many import Crowd, run
from tests.acceptance.wallet.service import (
    SECRET,
    Reply,
    WalletClient,
    WalletProcess,
    bet,
    result,
    rollback,
    running,
    signed,
    until,
)

_numbers = itertools.count(1)


def tx() -> str:
    """A fresh id."""
    return f"ops-{next(_numbers)}"


def test_a_rotated_secret_works_at_once_in_every_worker(fresh_wallet: WalletProcess) -> None:
    """Under traffic signed with the old and, from its making on, the new secret, nothing is refused."""
    fresh_wallet.flags = ("--workers", "2")
    rotations, senders = 5, 8

    async def play(crowd: Crowd) -> int:
        await crowd.admin("POST", "/operators", {"name": "acme", "security_hash": SECRET})
        await crowd.open(["ann"], "0")
        secrets, rounds, done = [SECRET], [0] * senders, False

        async def send(number: int) -> int:
            sent = 0
            while not done:
                for secret in tuple(secrets):
                    answer = await crowd.callback("acme", result(tx(), "ann", "1"), secret)
                    assert answer["error"] is None, answer
                    sent += 1
                rounds[number] += 1
            return sent

        async def everybody_goes_round() -> None:
            """Until no sender holds secrets that it took before this call."""
            begun = list(rounds)
            while any(now < then + 2 for now, then in zip(rounds, begun, strict=True)):
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(send(number)) for number in range(senders)]
            for _ in range(rotations):
                made = await crowd.admin("POST", "/operators/acme/rotate", {})
                secrets.append(made["security_hash"])
                await everybody_goes_round()
                del secrets[:-1]
                await everybody_goes_round()
                await crowd.admin("POST", "/operators/acme/rotate", {"retire_old": True})
            done = True
        sent = sum(task.result() for task in tasks)
        assert (await crowd.balances(["ann"]))["ann"] == f"{sent}.00"
        return sent

    with running(fresh_wallet):
        assert run(fresh_wallet.url, 16, play) >= rotations * senders * 4


def test_old_secrets_live_until_they_are_retired(wallet: WalletProcess, client: WalletClient) -> None:
    """Both work after a rotation; `retire_old` ends the old one within the poll; the last use is shown."""
    first, second = "first-secret-of-rota", "second-secret-of-rota"
    client.admin("POST", "/operators", {"name": "rota", "security_hash": first})
    client.admin("POST", "/operators/rota/rotate", {"security_hash": second})
    for secret in (first, second):
        assert client.callback("rota", bet(tx(), "nobody", "1"), secret=secret).error == "USER_NOT_FOUND"
    retired = client.admin("POST", "/operators/rota/rotate", {"retire_old": True}).json
    assert (retired["security_hash"], retired["retired"]) == (None, 1)
    until(
        lambda: client.callback("rota", bet(tx(), "nobody", "1"), secret=first).error == "INVALID_SIGNATURE"
    )
    assert client.callback("rota", bet(tx(), "nobody", "1"), secret=second).error == "USER_NOT_FOUND"
    replaced = client.admin("POST", "/operators/rota/rotate", {"retire_old": True}).json
    assert replaced["retired"] == 1 and replaced["security_hash"]
    secrets = next(
        one for one in client.admin("GET", "/operators").json["operators"] if one["name"] == "rota"
    )
    assert [secret["retired_at"] is None for secret in secrets["secrets"]] == [False, False, True]


def test_the_header_that_a_signature_came_under_is_noted(fresh_wallet: WalletProcess) -> None:
    """Counted by name in the metrics, and the last one shown beside the secret's last use."""
    with running(fresh_wallet), fresh_wallet.client() as client:
        client.admin("POST", "/operators", {"name": "acme", "security_hash": SECRET})
        raw = bet(tx(), "nobody", "1")
        signature = signed(raw)["X-Security-Hash"]
        for name in ("X-Security-Hash", "X-SECURTY-HASH", "x-securty-hash"):
            assert client.send("POST", "/callbacks/acme/transaction", raw, {name: signature}).status == 200
        metrics = client.send("GET", "/metrics").body.decode()
        counted = 'stakewire_wallet_signatures_total{header="%s",operator="acme"} %s'
        assert counted % ("X-Security-Hash", "1.0") in metrics
        assert counted % ("X-Securty-Hash", "2.0") in metrics
    listed = fresh_wallet.command("wallet", "operator", "list", "--json")
    (operator,) = json.loads(listed.stdout)["operators"]
    assert operator["secrets"][0]["last_header"] == "X-Securty-Hash"
    assert "under X-Securty-Hash" in fresh_wallet.command("wallet", "operator", "list").stdout


def test_an_operator_made_by_the_shell_may_send_at_once(wallet: WalletProcess, client: WalletClient) -> None:
    """No restart and no wait: the first request brings it in."""
    done = wallet.command("wallet", "operator", "add", "by-shell", "--security-hash", SECRET)
    assert done.returncode == 0, done.stderr
    assert client.callback("by-shell", bet(tx(), "nobody", "1")).error == "USER_NOT_FOUND"


def test_a_flood_of_wrong_signatures_is_429_and_signed_traffic_is_not(fresh_wallet: WalletProcess) -> None:
    """INVALID_SIGNATURE, then 429 for that address; rightly signed requests from it are still answered."""
    fresh_wallet.environment["STAKEWIRE_WALLET_WRONG_SIGNATURES_PER_MINUTE"] = "5"
    with running(fresh_wallet), fresh_wallet.client() as client:
        client.admin("POST", "/operators", {"name": "acme", "security_hash": SECRET})
        raw = bet(tx(), "nobody", "1")
        wrong = [client.callback("acme", raw, secret="not-the-secret-at-all").status for _ in range(12)]
        assert wrong[:5] == [200] * 5 and wrong[-1] == 429
        assert client.callback("acme", raw).error == "USER_NOT_FOUND"
        made = client.admin("POST", "/operators/acme/rotate", {}).json["security_hash"]
        assert client.callback("acme", raw, secret=made).error == "USER_NOT_FOUND"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_answers_survive_a_restart(fresh_wallet: WalletProcess, number: signal.Signals) -> None:
    """Every id gets its first answer again from a new process, byte for byte."""
    with running(fresh_wallet):
        with fresh_wallet.client() as client:
            client.admin("POST", "/operators", {"name": "acme", "security_hash": SECRET})
            client.admin("POST", "/players", {"user_id": "ann", "currency": "EUR", "deposit": "10"}, "open")
            messages = [
                bet("b1", "ann", "4"),
                bet("b2", "ann", "40"),
                rollback("r1", "b1", "ann", "4"),
                rollback("r2", "never", "ann", "4"),
                bet("never", "ann", "1"),
                result("w1", "ann", "3"),
            ]
            first = [client.callback("acme", raw).body for raw in messages]
        code = fresh_wallet.stop(number)
        assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
        fresh_wallet.start()
        with fresh_wallet.client() as client:
            assert [client.callback("acme", raw).body for raw in messages] == first
            assert client.balance("ann") == "13.00"
            assert client.admin("GET", "/verify").json["ok"] is True


def test_stopping_answers_what_is_in_flight(fresh_wallet: WalletProcess) -> None:
    """SIGTERM under load: every answer given is true, and a connection at most ends without one."""

    async def play(crowd: Crowd) -> tuple[int, int]:
        await crowd.admin("POST", "/operators", {"name": "acme", "security_hash": SECRET})
        await crowd.open(["ann"], "0")
        paid = lost = 0

        async def send() -> None:
            nonlocal paid, lost
            while True:
                try:
                    answer = await crowd.callback("acme", result(tx(), "ann", "1"))
                except (OSError, aiohttp.ClientError):
                    lost += 1
                    return
                assert answer["error"] is None
                paid += 1

        senders = [asyncio.create_task(send()) for _ in range(8)]
        while paid < 100:
            await asyncio.sleep(0)
        stopped = await asyncio.to_thread(fresh_wallet.stop)
        assert stopped == 0
        await asyncio.gather(*senders)
        return paid, lost

    with running(fresh_wallet):
        paid, lost = run(fresh_wallet.url, 8, play)
        fresh_wallet.start()
        with fresh_wallet.client() as client:
            assert paid <= int(client.balance("ann").removesuffix(".00")) <= paid + lost


def test_a_database_that_dies_is_not_an_answer(fresh_wallet: WalletProcess) -> None:
    """While connections are cut: the truth or INTERNAL_ERROR; the same id then gets the truth."""
    with running(fresh_wallet), fresh_wallet.client() as client:
        client.admin("POST", "/operators", {"name": "acme", "security_hash": SECRET})
        client.admin("POST", "/players", {"user_id": "ann", "currency": "EUR", "deposit": "1000"}, "open")
        answers: dict[str, list[Reply]] = {}
        for _ in range(10):
            _cut_connections(fresh_wallet.database_url)
            for name in (tx(), tx()):
                answers[name] = [client.callback("acme", bet(name, "ann", "1"))]
        for name, seen in answers.items():
            seen.append(client.callback("acme", bet(name, "ann", "1")))
        for first, again in answers.values():
            assert first.status == again.status == 200
            assert again.error is None
            assert first.error == "INTERNAL_ERROR" or first.body == again.body
        assert client.balance("ann") == "980.00"
        assert client.admin("GET", "/verify").json["ok"] is True


def _cut_connections(database_url: str) -> None:
    code = (
        "import asyncio, asyncpg, sys\n"
        "async def main():\n"
        "    conn = await asyncpg.connect(sys.argv[1])\n"
        "    await conn.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity'\n"
        "        ' WHERE datname = current_database() AND pid <> pg_backend_pid()')\n"
        "    await conn.close()\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", code, database_url], check=True)


@pytest.mark.parametrize(
    ("environment", "flags", "words"),
    [
        ({"STAKEWIRE_ADMIN_TOKEN": "short"}, (), "at least 16 characters"),
        ({"STAKEWIRE_ADMIN_TOKEN": ""}, (), "STAKEWIRE_ADMIN_TOKEN"),
        ({"STAKEWIRE_MASTER_KEY": "nonsense"}, (), "STAKEWIRE_MASTER_KEY"),
        ({"STAKEWIRE_WALLET_TIME_ZONE": "Mars/Olympus"}, (), "time zone"),
        ({}, ("--tls-cert", "cert.pem"), "--tls-key"),
        ({}, ("--workers", "0"), "workers"),
    ],
)
def test_wrong_starts_are_one_sentence(
    fresh_wallet: WalletProcess, environment: dict[str, str], flags: tuple[str, ...], words: str
) -> None:
    """A non-zero exit code and one clear line; no stack trace."""
    fresh_wallet.environment |= environment
    done = fresh_wallet.command("serve", "wallet", "--port", "0", *flags)
    assert done.returncode in (2, 7)
    assert words in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_another_master_key_is_refused_at_start(fresh_wallet: WalletProcess) -> None:
    """Secrets that cannot be opened would make every callback INVALID_SIGNATURE; better not to start."""
    made = fresh_wallet.command("wallet", "operator", "add", "acme")
    assert made.returncode == 0, made.stderr
    fresh_wallet.environment["STAKEWIRE_MASTER_KEY"] = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
    done = fresh_wallet.command("serve", "wallet", "--port", "0")
    assert done.returncode == 7
    assert "master key" in done.stderr and "Traceback" not in done.stderr


def test_secrets_are_nowhere_in_the_log(fresh_wallet: WalletProcess) -> None:
    """Neither security hashes, nor the token, nor the master key, whatever goes wrong."""
    with running(fresh_wallet), fresh_wallet.client() as client:
        made: dict[str, Any] = client.admin("POST", "/operators", {"name": "acme"}).json
        raw = bet(tx(), "nobody", "1")
        client.callback("acme", raw, secret=made["security_hash"])
        client.send("POST", "/callbacks/acme/transaction", raw, {"X-Security-Hash": made["security_hash"]})
        client.admin("POST", "/operators", {"name": "acme", "security_hash": made["security_hash"]})
        _cut_connections(fresh_wallet.database_url)
        client.callback("acme", raw, secret=made["security_hash"])
    log = fresh_wallet.log
    environment = fresh_wallet.full_environment
    for secret in (
        made["security_hash"],
        environment["STAKEWIRE_ADMIN_TOKEN"],
        environment["STAKEWIRE_MASTER_KEY"],
        signed(raw, made["security_hash"])["X-Security-Hash"],
    ):
        assert secret not in log


def test_metrics_of_several_workers_are_one(fresh_wallet: WalletProcess) -> None:
    """Whichever worker is asked answers for all of them."""
    fresh_wallet.flags = ("--workers", "2")
    with running(fresh_wallet):
        with fresh_wallet.client() as client:
            client.admin("POST", "/operators", {"name": "acme", "security_hash": SECRET})
        for _ in range(30):
            with fresh_wallet.client() as client:  # a new connection each, so that both workers get some
                client.callback("acme", bet(tx(), "nobody", "1"))
        name = b'stakewire_wallet_answers_total{action="bet",code="USER_NOT_FOUND",operator="acme"} '

        def counted() -> bool:
            with fresh_wallet.client() as client:
                return name + b"30.0" in client.send("GET", "/metrics").body

        until(counted)
