"""Real worker processes on one queue: killed without notice, or side by side."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("worker_process.py")
SUCCESS = b'HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{"error":null,"transaction_id":"w-1"}'

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(database_url: str) -> AsyncIterator[Start]:
    """Starts worker processes, ready when returned; those still alive are ended with the test."""
    started: list[asyncio.subprocess.Process] = []

    async def run(url: str, *, timeout: float, lease: float, name: str) -> asyncio.subprocess.Process:
        client = {"url": url, "secret": "a secret for the tests of delivery"}
        given = {"clients": {"1": client}, "timeout": timeout, "lease": lease, "name": name}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), database_url, json.dumps(given), stdout=asyncio.subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return process

    yield run
    for process in started:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _arrived(receiver: Any) -> list[str]:
    return [json.loads(request.body)["transaction_id"] for request in receiver.requests]


async def test_killed_worker_loses_no_callback(
    write: Any, receivers: Any, until: Any, start: Start, pool: Any
) -> None:
    """kill -9 with callbacks in flight: their leases run out, and the next worker sends them."""
    released = asyncio.Event()

    async def script(_: Any) -> bytes:
        await released.wait()
        return SUCCESS

    receiver = await receivers(script)
    written = await write(*(write.new(bet_id=bet) for bet in range(100) for _ in range(2)))
    victim = await start(receiver.url, timeout=1, lease=2, name="victim")
    await receiver.seen(16)
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    assert await pool.fetchval("SELECT count(*) FROM callback WHERE state = 'sending'") >= 16
    released.set()
    await start(receiver.url, timeout=1, lease=2, name="heir")
    await until("answered", *written)
    assert len(set(_arrived(receiver))) == len(written)


async def test_worker_killed_again_and_again_loses_no_callback(
    write: Any, receivers: Any, until: Any, start: Start
) -> None:
    """Five kills at moments that progress chooses, not time; in the end everything is answered."""
    receiver = await receivers(lambda _: SUCCESS)
    written = await write(*(write.new(bet_id=bet) for bet in range(1500) for _ in range(2)))
    for turn in range(5):
        worker = await start(receiver.url, timeout=1, lease=2, name=f"victim-{turn}")
        await receiver.seen(len(receiver.requests) + 100)
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
    await start(receiver.url, timeout=1, lease=2, name="heir")
    await until("answered", *written)
    assert set(_arrived(receiver)) == {f"tx-{n}" for n in range(1, len(written) + 1)}


async def test_workers_share_a_queue_without_sending_twice(
    write: Any, receivers: Any, until: Any, start: Start
) -> None:
    """Three processes, one queue, leases that do not run out: every callback arrives exactly once."""
    receiver = await receivers(lambda _: SUCCESS)
    await asyncio.gather(*(start(receiver.url, timeout=20, lease=60, name=f"w{n}") for n in range(3)))
    written = await write(*(write.new() for _ in range(3000)))
    await until("answered", *written)
    assert max(Counter(_arrived(receiver)).values()) == 1


async def test_worker_that_slept_through_its_lease_does_no_harm(
    write: Any, receivers: Any, until: Any, start: Start, pool: Any
) -> None:
    """SIGSTOP for longer than the lease: another delivers; the one that wakes does nothing more."""
    released = asyncio.Event()

    async def script(_: Any) -> bytes:
        await released.wait()
        return SUCCESS

    receiver = await receivers(script)
    written = await write(*(write.new() for _ in range(60)))
    sleeper = await start(receiver.url, timeout=0.5, lease=1, name="sleeper")
    await receiver.seen(16)
    sleeper.send_signal(signal.SIGSTOP)
    released.set()
    await start(receiver.url, timeout=0.5, lease=1, name="other")
    await until("answered", *written)
    before = len(receiver.requests)
    sleeper.send_signal(signal.SIGCONT)
    sleeper.terminate()
    await sleeper.wait()
    assert len(receiver.requests) == before
    assert await pool.fetchval("SELECT count(*) FROM callback WHERE state <> 'answered'") == 0
