"""The worker against real receivers, honest and hostile, over real sockets and a real outbox."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from stakewire.clock import SystemClock
from stakewire.delivery.action import Action
from stakewire.delivery.breaker import BreakerPolicy
from stakewire.delivery.schedule import RetrySchedule
from stakewire.postgres.outbox.desk import find_callback, retry
from stakewire.sportsbook.delivery.lane import LaneLimits
from stakewire.wire.sportsbook.signing import HEADER, Secret

AT_ONCE = RetrySchedule((0.0,) * 50)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


SUCCESS = b'{"error":null,"transaction_id":"w-1"}'


async def _never(_: Any) -> bytes | None:
    await asyncio.sleep(3600)
    return None


HOSTILE: dict[str, tuple[Any, str]] = {
    "201 with the right body": (http(SUCCESS, "201 Created"), "unclear"),
    "202 with the right body": (http(SUCCESS, "202 Accepted"), "unclear"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "unclear"),
    "500 with the right body": (http(SUCCESS, "500 Internal Server Error"), "unclear"),
    "empty body": (http(b""), "unclear"),
    "empty object": (http(b"{}"), "unclear"),
    "error missing": (http(b'{"transaction_id":"w-1"}'), "unclear"),
    "error false": (http(b'{"error":false,"transaction_id":"w-1"}'), "unclear"),
    "error empty": (http(b'{"error":"","transaction_id":"w-1"}'), "unclear"),
    "transaction id missing": (http(b'{"error":null}'), "unclear"),
    "transaction id empty": (http(b'{"error":null,"transaction_id":""}'), "unclear"),
    "transaction id a number": (http(b'{"error":null,"transaction_id":7}'), "unclear"),
    "transaction id null": (http(b'{"error":null,"transaction_id":null}'), "unclear"),
    "error twice": (http(b'{"error":"INTERNAL_ERROR","error":null,"transaction_id":"w-1"}'), "unclear"),
    "an array": (http(b"[" + SUCCESS + b"]"), "unclear"),
    "a page": (http(b"<html>OK</html>"), "unclear"),
    "more after the object": (http(SUCCESS + SUCCESS), "unclear"),
    "not UTF-8": (http(b'{"error":null,"transaction_id":"\xff"}'), "unclear"),
    "a code": (http(b'{"error":"INTERNAL_ERROR"}'), "undecided"),
    "a definite decline of a result": (http(b'{"error":"USER_BLOCKED"}'), "declined"),
    "a code beside a transaction id": (
        http(b'{"error":"INVALID_SIGNATURE","transaction_id":"w-1"}'),
        "undecided",
    ),
    "cut before any byte": (None, "no_answer"),
    "cut within the body": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\nConnection: close\r\n\r\n" + SUCCESS,
        "no_answer",
    ),
    "a megabyte": (http(b" " * 1_000_000 + SUCCESS), "no_answer"),
    "endless header": (b"HTTP/1.1 200 OK\r\n" + b"X-Pad: " + b"x" * 200_000 + b"\r\n\r\n", "no_answer"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n", "no_answer"),
    "slower than the timeout": (_never, "no_answer"),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_nothing_but_the_contracts_answer_ends_a_delivery(
    case: str, write: Any, deliver: Any, targets: Any, receivers: Any, until: Any, pool: Any
) -> None:
    """Anything else is kept with its reason, and the same bytes come again until the answer is right."""
    answer, outcome = HOSTILE[case]

    def script(received: Any) -> Any:
        if len(receiver.requests) > 1:
            return http(SUCCESS)
        return answer(received) if callable(answer) else answer

    receiver = await receivers(script)
    targets.set(1, receiver.url, schedule=AT_ONCE)
    [written] = await write(write.new())
    deliver()
    await until("answered", written)
    rows = await pool.fetch("SELECT outcome, reason, length(answer) AS kept FROM callback_attempt ORDER BY n")
    assert [row["outcome"] for row in rows] == [outcome, "accepted"]
    assert rows[0]["reason"]
    assert receiver.requests[0].body == receiver.requests[1].body


async def test_redirect_is_not_followed(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any
) -> None:
    """Money does not go where an answer says; the next attempt asks the registered address again."""
    elsewhere = await receivers()

    def script(_: Any) -> bytes:
        if len(receiver.requests) > 1:
            return http(SUCCESS)
        return http(b"", "307 Temporary Redirect", f"Location: {elsewhere.url}/transaction")

    receiver = await receivers(script)
    targets.set(1, receiver.url, schedule=AT_ONCE)
    [written] = await write(write.new())
    deliver()
    await until("answered", written)
    assert elsewhere.requests == []


async def test_answers_texts_that_no_database_holds_are_recorded_all_the_same(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any, pool: Any
) -> None:
    """NUL, lone surrogates and a very long id do not hold up the batch they are recorded in."""
    ids = iter([r"\u0000", r"\ud800", "x" * 50_000, "plain"])
    receiver = await receivers(lambda _: http(b'{"error":null,"transaction_id":"%b"}' % next(ids).encode()))
    targets.set(1, receiver.url)
    written = await write(*(write.new() for _ in range(4)))
    deliver()
    await until("answered", *written)
    kept = await pool.fetch("SELECT client_transaction_id FROM callback")
    assert all(0 < len(row[0]) <= 256 for row in kept)


async def test_callback_arrives_as_it_was_written_and_signed(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any
) -> None:
    """The contract's path, content type, bytes and hash."""
    receiver = await receivers()
    target = targets.set(1, receiver.url)
    callback = write.new(Action.ROLLBACK)
    [written] = await write(callback)
    deliver()
    await until("answered", written)
    [request] = receiver.requests
    assert request.line == "POST /hook/transaction-rollback HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers[HEADER.lower()] == target.secret.sign(callback.body)
    assert request.body == callback.body


async def test_each_attempt_is_signed_with_the_secret_of_its_moment(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any
) -> None:
    """A secret replaced between two attempts: same bytes, another hash."""

    def script(_: Any) -> bytes:
        if len(receiver.requests) > 1:
            return http(SUCCESS)
        targets.set(1, receiver.url, secret="the one that replaced it", schedule=AT_ONCE)
        return http(b'{"error":"INTERNAL_ERROR"}')

    receiver = await receivers(script)
    before = targets.set(1, receiver.url, schedule=AT_ONCE)
    [written] = await write(write.new())
    deliver()
    await until("answered", written)
    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers[HEADER.lower()] == before.secret.sign(first.body)
    assert second.headers[HEADER.lower()] == Secret("the one that replaced it").sign(first.body)


async def test_callbacks_of_a_bet_arrive_in_order_and_never_two_at_once(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any
) -> None:
    """Fifty bets of four callbacks each, a receiver that fails a third of the time."""
    rng = random.Random(3)
    done: dict[str, list[str]] = {}
    busy: set[str] = set()

    async def script(received: Any) -> bytes:
        bet, _, step = json.loads(received.body)["transaction_id"].partition("/")
        assert bet not in busy
        busy.add(bet)
        await asyncio.sleep(rng.random() / 200)
        busy.discard(bet)
        if rng.random() < 0.3:
            return http(b'{"error":"INTERNAL_ERROR"}')
        done.setdefault(bet, []).append(step)
        return http(SUCCESS)

    receiver = await receivers(script)
    targets.set(1, receiver.url, schedule=AT_ONCE)
    callbacks = [
        write.new(action, bet_id=bet, transaction_id=f"{bet}/{step}")
        for bet in range(50)
        for step, action in enumerate((Action.RESULT, Action.ROLLBACK, Action.RESULT, Action.ROLLBACK))
    ]
    written = await write(*callbacks)
    deliver()
    await until("answered", *written)
    assert done == {str(bet): ["0", "1", "2", "3"] for bet in range(50)}


async def test_dead_client_holds_up_nobody_else(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any, states: Any
) -> None:
    """One takes connections and never answers: the other is given all of its callbacks meanwhile."""
    dead, alive = await receivers(_never), await receivers()
    targets.set(1, dead.url)
    targets.set(2, alive.url)
    stuck = await write(*(write.new(client_id=1) for _ in range(300)))
    flowing = await write(*(write.new(client_id=2) for _ in range(300)))
    deliver()
    await dead.seen(1)
    await until("answered", *flowing)
    assert "answered" not in await states(*stuck)
    assert len(alive.requests) == 300
    assert dead.most_in_flight <= 16


async def test_dead_client_behind_the_same_address_holds_up_nobody_else(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any
) -> None:
    """Two clients of one hosting company: the path that hangs takes no connection from the other."""

    async def script(received: Any) -> bytes | None:
        return await _never(received) if "/dead/" in received.line else http(SUCCESS)

    receiver = await receivers(script)
    targets.set(1, f"{receiver.url}/dead")
    targets.set(2, f"{receiver.url}/alive")
    await write(*(write.new(client_id=1) for _ in range(300)))
    flowing = await write(*(write.new(client_id=2) for _ in range(300)))
    deliver()
    await until("answered", *flowing)


async def test_client_that_comes_back_gets_everything_once(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any
) -> None:
    """Refused connections open the breaker; when the port answers again, all that waited arrives."""
    receiver = await receivers()
    port = receiver.port
    await receiver.stop()
    targets.set(1, receiver.url, schedule=RetrySchedule((0.0,) + (0.05,) * 500))
    written = await write(*(write.new() for _ in range(100)))
    delivery = deliver()
    await _attempted(delivery, "not_sent", 5)
    await receiver.start(port)
    await until("answered", *written)
    arrived = [json.loads(request.body)["transaction_id"] for request in receiver.requests]
    assert len(arrived) == len(set(arrived)) == 100


async def _attempted(delivery: Any, outcome: str, count: int) -> None:
    registry = delivery.metrics._attempts
    async with asyncio.timeout(30):
        while _counted(registry, outcome) < count:
            await asyncio.sleep(0.01)


def _counted(counter: Any, outcome: str) -> float:
    return sum(
        float(sample.value)
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["outcome"] == outcome
    )


async def test_callback_without_waits_left_is_parked_and_sent_again_on_demand(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any, pool: Any
) -> None:
    """Parked, not dropped; asked for, it runs through its whole schedule again with the same bytes."""
    answers = iter([b'{"error":"INTERNAL_ERROR"}'] * 3)
    receiver = await receivers(lambda _: http(next(answers, SUCCESS)))
    targets.set(1, receiver.url, schedule=RetrySchedule((0.0, 0.0)))
    [written] = await write(write.new())
    delivery = deliver()
    await until("parked", written)
    assert len(receiver.requests) == 2
    await retry(pool, await find_callback(pool, str(written)), now=SystemClock().now())
    delivery.wake()
    await until("answered", written)
    assert len(receiver.requests) == 4
    assert len({request.body for request in receiver.requests}) == 1


async def test_lost_database_connections_lose_no_callback(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any, pool: Any, database_url: str
) -> None:
    """Every session of the worker is ended again and again while it delivers."""
    import asyncpg

    receiver = await receivers()
    targets.set(1, receiver.url)
    written = await write(*(write.new(bet_id=bet) for bet in range(300) for _ in range(2)))
    deliver()
    killer = await asyncpg.connect(database_url)
    for _ in range(5):
        await receiver.seen(len(receiver.requests) + 20)
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    query = "SELECT count(*) FROM sportsbook.callback WHERE state <> 'answered'"
    async with asyncio.timeout(60):
        while await killer.fetchval(query):
            await asyncio.sleep(0.02)
    await killer.close()
    arrived = {json.loads(request.body)["transaction_id"] for request in receiver.requests}
    assert len(arrived) == len(written)


async def test_stopped_worker_leaves_what_it_did_not_send_due(
    write: Any, deliver: Any, targets: Any, receivers: Any, pool: Any
) -> None:
    """What was in flight is written down, the rest is given back: nobody waits for a lease."""
    release = asyncio.Event()

    async def script(received: Any) -> bytes:
        await release.wait()
        return http(SUCCESS)

    receiver = await receivers(script)
    targets.set(1, receiver.url)
    await write(*(write.new() for _ in range(100)))
    stop = asyncio.Event()
    limits = LaneLimits(breaker=BreakerPolicy(first_window=8, widest_window=8), timeout=30, lease=60)
    deliver(limits, stop=stop)
    await receiver.seen(8)
    stop.set()
    release.set()
    async with asyncio.timeout(30):
        while await pool.fetchval("SELECT count(*) FROM callback WHERE state = 'sending'"):
            await asyncio.sleep(0.01)
    counts = dict(await pool.fetch("SELECT state, count(*) FROM callback GROUP BY state"))
    assert counts["answered"] == len(receiver.requests)
    assert counts["due"] == 100 - len(receiver.requests)
    assert await pool.fetchval("SELECT max(attempts) FROM callback WHERE state = 'due'") == 0


async def test_unknown_client_stops_its_own_callbacks_only(
    write: Any, deliver: Any, targets: Any, receivers: Any, until: Any, states: Any
) -> None:
    """A client whose secret cannot be opened keeps its callbacks waiting, unsigned ones never go out."""
    receiver = await receivers()
    targets.set(2, receiver.url)
    [kept] = await write(write.new(client_id=1))
    [sent] = await write(write.new(client_id=2))
    deliver()
    await until("answered", sent)
    assert await states(kept) == ["due"]
