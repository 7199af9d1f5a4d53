"""Claims about calls of hub methods: what is called with what, and what the caller is told."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from tests.unit.signalr.hubs import HubBench, until

from stakewire.net.signalr.hub import Hub, HubContext, HubError, authorize, method


class Bet(msgspec.Struct):
    """What a client may send."""

    stake: Decimal
    on: dt.date


class Secret(Exception):
    """Its text must not be seen."""


def is_admin(context: HubContext) -> bool:
    return context.claims.get("role") == "admin"


async def is_old_enough(context: HubContext) -> bool:
    return int(str(context.claims.get("age", 0))) >= 18


class Sample(Hub):
    async def add(self, left: int, right: int) -> int:
        return left + right

    async def greet(self, name: str, greeting: str = "Hello") -> str:
        return f"{greeting}, {name}"

    async def place(self, bet: Bet, odds: Annotated[float, msgspec.Meta(gt=1)]) -> Bet:
        return Bet(bet.stake * 2, bet.on)

    async def nothing(self) -> None:
        self.context.items["called"] = True

    @method("Total")
    async def sum_up(self, numbers: list[int]) -> int:
        return sum(numbers)

    async def fail(self) -> None:
        raise Secret("the password is 1234")

    async def refuse(self) -> None:
        raise HubError("market closed")

    async def odd_result(self) -> Any:
        return object()

    @authorize(is_admin, is_old_enough)
    async def close_market(self) -> str:
        return "closed"

    @authorize()
    async def mine(self) -> str | None:
        return self.context.user_id

    async def _private(self) -> None: ...

    @staticmethod
    def helper() -> None: ...


@pytest.mark.parametrize(
    ("target", "arguments", "result"),
    [
        ("Add", (1, 2), 3),
        ("aDD", (1, 2), 3),
        ("Greet", ("Ann",), "Hello, Ann"),
        ("Greet", ("Ann", "Good day"), "Good day, Ann"),
        ("Place", ({"stake": "1.50", "on": "2026-11-20"}, 1.5), {"stake": "3.00", "on": "2026-11-20"}),
        ("Nothing", (), None),
        ("Total", ([1, 2, 3],), 6),
    ],
)
async def test_a_method_is_called_with_typed_arguments(
    target: str, arguments: tuple[Any, ...], result: object
) -> None:
    """Names match whatever their case, defaults may be left out, and structs come and go as structs."""
    bench = HubBench(Sample)
    answer = await bench.call(await bench.connect(), target, *arguments)
    assert answer == {"type": 3, "invocationId": "1", "result": result}


@pytest.mark.parametrize(
    ("target", "arguments", "error"),
    [
        ("Add", (1,), "Failed to invoke 'Add' due to an error on the server."),
        ("Add", (1, 2, 3), "Failed to invoke 'Add' due to an error on the server."),
        ("add", ("1", 2), "Failed to invoke 'Add' due to an error on the server."),
        ("Place", ({"stake": "x"}, 2.0), "Failed to invoke 'Place' due to an error on the server."),
        (
            "Place",
            ({"stake": "1", "on": "2026-11-20"}, 1),
            "Failed to invoke 'Place' due to an error on the server.",
        ),
        ("Missing", (), "Unknown hub method 'Missing'"),
        ("_private", (), "Unknown hub method '_private'"),
        ("SumUp", ([],), "Unknown hub method 'SumUp'"),
        ("Helper", (), "Unknown hub method 'Helper'"),
        ("OnConnected", (), "Unknown hub method 'OnConnected'"),
        ("Fail", (), "An unexpected error occurred invoking 'Fail' on the server."),
        ("OddResult", (), "An unexpected error occurred invoking 'OddResult' on the server."),
        (
            "Refuse",
            (),
            "An unexpected error occurred invoking 'Refuse' on the server. HubException: market closed",
        ),
        ("CloseMarket", (), "Failed to invoke 'CloseMarket' because user is unauthorized"),
        ("Mine", (), "Failed to invoke 'Mine' because user is unauthorized"),
    ],
)
async def test_what_fails_is_told_in_the_documented_words(
    target: str, arguments: tuple[Any, ...], error: str
) -> None:
    """A Completion says what .NET would say, of exceptions HubError's only, and the connection stays."""
    bench = HubBench(Sample)
    connection = await bench.connect()
    assert await bench.call(connection, target, *arguments) == {
        "type": 3,
        "invocationId": "1",
        "error": error,
    }
    assert (await bench.call(connection, "Add", 1, 1))["result"] == 2


@pytest.mark.parametrize(
    ("target", "arguments", "ending"),
    [
        ("Fail", (), " Secret: the password is 1234"),
        ("Add", (1,), " Invocation provides 1 argument(s) but target expects 2."),
    ],
)
async def test_detailed_errors_are_for_development(
    target: str, arguments: tuple[Any, ...], ending: str
) -> None:
    """With `detailed_errors` the caller sees the exception, too."""
    bench = HubBench(Sample, detailed_errors=True)
    answer = await bench.call(await bench.connect(), target, *arguments)
    assert answer["error"].endswith(ending)


async def test_policies_look_at_the_caller() -> None:
    """All policies of a method must hold, plain or awaited; without any, being signed in suffices."""
    bench = HubBench(Sample)
    admin = await bench.connect("a", "ann", role="admin", age=30)
    child = await bench.connect("b", "bob", role="admin", age=12)
    assert (await bench.call(admin, "CloseMarket"))["result"] == "closed"
    assert "unauthorized" in (await bench.call(child, "CloseMarket"))["error"]
    assert (await bench.call(child, "Mine"))["result"] == "bob"


@pytest.mark.parametrize("target", ["Nothing", "Fail", "Missing", "Add", "CloseMarket"])
async def test_fire_and_forget_is_never_answered(target: str) -> None:
    """An invocation without an id is carried out or not, and nothing is said about it."""
    bench = HubBench(Sample)
    connection = await bench.connect()
    bench.invoke(connection, target, number=None)
    await until(lambda: len(bench.sessions) == 0)
    assert connection.sent == []
    assert connection.items == ({"called": True} if target == "Nothing" else {})


class Turns(Hub):
    def __init__(self, gate: asyncio.Event, log: list[str]) -> None:
        self.gate = gate
        self.log = log

    async def wait(self, name: str) -> str:
        self.log.append(name)
        await self.gate.wait()
        return name


def turns(**options: Any) -> tuple[HubBench[Turns], asyncio.Event, list[str]]:
    gate, log = asyncio.Event(), list[str]()
    return HubBench(Turns, provide=lambda cls: cls(gate, log), **options), gate, log


@pytest.mark.parametrize("parallel", [1, 2])
async def test_calls_of_one_connection_take_turns(parallel: int) -> None:
    """As many run as allowed, others wait in order; those of another connection do not wait for them."""
    bench, gate, log = turns(max_parallel_invocations=parallel)
    one, other = await bench.connect("one"), await bench.connect("other")
    for number in "123":
        bench.invoke(one, "Wait", number, number=number)
    bench.invoke(other, "Wait", "other")
    await until(lambda: len(log) == parallel + 1)
    assert log == [*"123"[:parallel], "other"]
    assert one.running == parallel
    gate.set()
    for number in "123":
        assert (await bench.completion(one, number))["result"] == number
    await until(lambda: len(bench.sessions) == 0)
    assert one.running == 0


async def test_too_many_waiting_calls_hold_reading() -> None:
    """At the bound nothing more is read from the client, until half of them have had their turn."""
    bench, gate, _ = turns(max_waiting_invocations=4)
    connection = await bench.connect()
    for number in range(4):
        bench.invoke(connection, "Wait", "x", number=str(number))
    assert not connection.held
    bench.invoke(connection, "Wait", "x", number="4")
    await until(lambda: connection.held)
    gate.set()
    assert (await bench.completion(connection, "4"))["result"] == "x"
    assert not connection.held


async def test_an_idle_connection_has_neither_task_nor_session() -> None:
    """Connecting and calling leave nothing behind."""
    bench = HubBench(Sample)
    connection = await bench.connect()
    assert len(bench.sessions) == 0
    await bench.call(connection, "Add", 1, 2)
    await until(lambda: len(bench.sessions) == 0)
    assert len(asyncio.all_tasks()) == 1


async def test_after_the_connection_a_call_ends_quietly() -> None:
    """A call that runs when its connection ends runs on; those that wait never begin."""
    bench, gate, log = turns()
    connection = await bench.connect()
    bench.invoke(connection, "Wait", "runs", number="1")
    bench.invoke(connection, "Wait", "waits", number="2")
    await until(lambda: log == ["runs"])
    await bench.disconnect(connection)
    gate.set()
    await until(lambda: len(bench.sessions) == 0)
    assert log == ["runs"]
    assert connection.sent == []


async def test_a_stop_waits_and_then_cancels() -> None:
    """Calls have the grace time to end; one that takes longer is cancelled."""
    bench, _, log = turns()
    connection = await bench.connect()
    bench.invoke(connection, "Wait", "long")
    await until(lambda: log == ["long"])
    await bench.dispatcher.stop(0)
    assert len(bench.sessions) == 0
    assert connection.sent == []
