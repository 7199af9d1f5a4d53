"""Claims about streams: from the hub, from the client, and what bounds both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from tests.unit.signalr.hubs import HubBench, RecordingConnection, until

from stakewire.net.signalr.hub import Hub, HubError, Stream, authorize
from stakewire.net.signalr.streams import BUFFERED_ITEMS, FLOOD_ITEMS, StreamFailed


class Reading(msgspec.Struct):
    """One item."""

    value: int


class Streams(Hub):
    def __init__(self, gate: asyncio.Event, log: list[Any]) -> None:
        self.gate = gate
        self.log = log

    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    async def wait(self) -> AsyncIterator[str]:
        try:
            yield "first"
            await self.gate.wait()
            yield "second"
        finally:
            self.log.append("closed")

    async def stubborn(self) -> AsyncIterator[int]:
        while True:
            try:
                yield 1
                await self.gate.wait()
            except asyncio.CancelledError:
                self.log.append("asked to stop")

    async def break_off(self) -> AsyncIterator[int]:
        yield 1
        raise HubError("no more")

    async def bad_item(self) -> AsyncIterator[Any]:
        yield 1
        yield object()

    async def checked(self, to: int) -> Stream[int]:
        if to > 3:
            raise HubError("too many")
        return self.count(to)

    @authorize()
    async def secret(self) -> AsyncIterator[int]:
        yield 1

    async def plain(self) -> int:
        return 1

    async def total(self, items: Stream[Reading], factor: int = 1) -> int:
        total = 0
        async for item in items:
            self.log.append(item.value)
            total += item.value
            if not self.gate.is_set():
                await self.gate.wait()
        return total * factor

    async def first_two(self, items: Stream[int]) -> list[int]:
        return [await anext(items), await anext(items)]

    async def both(self, items: Stream[int]) -> Stream[int]:
        async def doubled() -> AsyncIterator[int]:
            async for item in items:
                yield item * 2

        return doubled()

    async def sources(self, left: Stream[int], name: str, right: Stream[str]) -> str:
        return f"{name} {[n async for n in left]} {[n async for n in right]}"

    async def failing(self, items: Stream[int]) -> str:
        try:
            async for item in items:
                self.log.append(item)
        except StreamFailed as error:
            self.log.append(str(error))
            raise HubError("your stream broke off") from error
        return "done"


class StreamBench(HubBench[Streams]):
    def __init__(self, **options: Any) -> None:
        self.gate, self.log = asyncio.Event(), list[Any]()
        super().__init__(Streams, provide=lambda cls: cls(self.gate, self.log), **options)

    def item(self, connection: RecordingConnection, item: object, number: str = "s") -> None:
        self.receive(connection, type=2, invocationId=number, item=item)

    def end(self, connection: RecordingConnection, number: str = "s", **error: str) -> None:
        self.receive(connection, type=3, invocationId=number, **error)

    def cancel(self, connection: RecordingConnection, number: str = "1") -> None:
        self.receive(connection, type=5, invocationId=number)


def items_of(connection: RecordingConnection, number: str = "1") -> list[Any]:
    return [one["item"] for one in connection.sent if one["type"] == 2 and one["invocationId"] == number]


@pytest.mark.parametrize("target", ["Count", "Checked"])
async def test_items_then_a_completion_without_result(target: str) -> None:
    """An async generator streams, and so does a method that returns one."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.stream(connection, target, 3)
    assert await bench.completion(connection) == {"type": 3, "invocationId": "1"}
    assert items_of(connection) == [0, 1, 2]


@pytest.mark.parametrize(
    ("target", "arguments", "items", "error"),
    [
        (
            "BreakOff",
            (),
            [1],
            "An unexpected error occurred invoking 'BreakOff' on the server. HubException: no more",
        ),
        ("BadItem", (), [1], "An unexpected error occurred invoking 'BadItem' on the server."),
        (
            "Checked",
            (4,),
            [],
            "An unexpected error occurred invoking 'Checked' on the server. HubException: too many",
        ),
        ("Secret", (), [], "Failed to invoke 'Secret' because user is unauthorized"),
        ("Count", ("x",), [], "Failed to invoke 'Count' due to an error on the server."),
        ("Missing", (), [], "Unknown hub method 'Missing'"),
        (
            "Plain",
            (),
            [],
            "The client attempted to invoke the non-streaming 'Plain' method with a streaming invocation.",
        ),
    ],
)
async def test_a_stream_that_fails_ends_with_the_error(
    target: str, arguments: tuple[Any, ...], items: list[int], error: str
) -> None:
    """What was yielded before has been sent; nothing but HubError's text is told."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.stream(connection, target, *arguments)
    assert await bench.completion(connection) == {"type": 3, "invocationId": "1", "error": error}
    assert items_of(connection) == items


async def test_a_streaming_method_cannot_be_invoked_plainly() -> None:
    """The caller is told, in .NET's words."""
    bench = StreamBench()
    answer = await bench.call(await bench.connect(), "Count", 3)
    assert answer["error"] == (
        "The client attempted to invoke the streaming 'Count' method with a non-streaming invocation."
    )


async def test_cancel_ends_the_generator_and_still_completes() -> None:
    """The generator's cleanup runs; the Completion has neither result nor error; a second cancel is idle."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.stream(connection, "Wait")
    await until(lambda: items_of(connection) == ["first"])
    bench.cancel(connection)
    bench.cancel(connection)
    assert await bench.completion(connection) == {"type": 3, "invocationId": "1"}
    assert bench.log == ["closed"]
    bench.cancel(connection)
    bench.cancel(connection, "unknown")
    assert connection.sent == [{"type": 2, "invocationId": "1", "item": "first"}]


async def test_cancel_before_the_first_step_still_completes() -> None:
    """A stream that is called and cancelled in one breath ends like any other."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.stream(connection, "Count", 3)
    bench.cancel(connection)
    assert await bench.completion(connection) == {"type": 3, "invocationId": "1"}
    assert items_of(connection) == []


async def test_a_generator_that_ignores_cancel_is_ended() -> None:
    """It cannot go on past its next item."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.stream(connection, "Stubborn")
    await until(lambda: items_of(connection) == [1])
    bench.cancel(connection)
    assert await bench.completion(connection) == {"type": 3, "invocationId": "1"}
    assert items_of(connection) == [1]


async def test_a_stream_waits_for_a_client_that_does_not_read() -> None:
    """One item is under way at most; the next is asked for when the connection has drained."""
    bench = StreamBench()
    connection = await bench.connect()
    connection.room.clear()
    bench.stream(connection, "Count", 5)
    await until(lambda: bool(items_of(connection)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert items_of(connection) == [0]
    connection.room.set()
    await bench.completion(connection)
    assert items_of(connection) == [0, 1, 2, 3, 4]


async def test_an_endless_stream_leaves_the_loop_to_others() -> None:
    """A generator that never waits, read by a client that never blocks, still lets other calls through."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.stream(connection, "Count", 100_000, number="long")
    await until(lambda: bool(items_of(connection, "long")))
    assert (await bench.call(connection, "Plain"))["result"] == 1
    bench.cancel(connection, "long")
    await bench.completion(connection, "long")
    assert len(items_of(connection, "long")) < 10_000


async def test_streams_run_beside_a_call_that_waits() -> None:
    """A plain method that waits for ever holds up neither streams nor uploads."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.gate.clear()
    bench.invoke(connection, "Total", number="t", streamIds=["never ends"])
    bench.item(connection, {"value": 1}, "never ends")
    bench.stream(connection, "Count", 2)
    await bench.completion(connection)
    assert items_of(connection) == [0, 1]
    assert connection.running == 0, "streams do not excuse a client from its pings"


async def test_streams_of_one_connection_are_bounded() -> None:
    """One more than allowed is refused, and may come when another has ended."""
    bench = StreamBench(max_streams=2)
    connection = await bench.connect()
    bench.stream(connection, "Wait", number="1")
    bench.invoke(connection, "Total", number="2", streamIds=["s"])
    bench.stream(connection, "Count", 1, number="3")
    assert "Too many streams" in (await bench.completion(connection, "3"))["error"]
    bench.cancel(connection, "1")
    await bench.completion(connection, "1")
    bench.stream(connection, "Count", 1, number="4")
    assert "error" not in await bench.completion(connection, "4")


async def test_an_invocation_id_in_use_is_refused() -> None:
    """Two streams cannot be told apart by one id."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.stream(connection, "Wait")
    bench.stream(connection, "Count", 1)
    assert (await bench.completion(connection))["error"] == "Invocation ID '1' is already in use."


async def test_a_stream_ends_with_its_connection() -> None:
    """The generator is closed, and nothing is said to a client that has gone."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.stream(connection, "Wait")
    await until(lambda: bool(connection.sent))
    await bench.disconnect(connection)
    await until(lambda: len(bench.sessions) == 0)
    assert bench.log == ["closed"]
    assert len(connection.sent) == 1


async def test_a_client_stream_is_a_parameter() -> None:
    """Items arrive decoded and in order; other arguments stand around them, defaults included."""
    bench = StreamBench()
    bench.gate.set()
    connection = await bench.connect()
    bench.invoke(connection, "Total", 10, streamIds=["s"])
    for value in range(4):
        bench.item(connection, {"value": value})
    bench.end(connection)
    assert await bench.completion(connection) == {"type": 3, "invocationId": "1", "result": 60}


async def test_several_client_streams_go_to_their_parameters() -> None:
    """Stream ids stand for the stream parameters in order, whatever stands between those."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.invoke(connection, "Sources", "ann", streamIds=["l", "r"])
    bench.item(connection, "x", "r")
    bench.item(connection, 1, "l")
    bench.end(connection, "r")
    bench.end(connection, "l")
    assert (await bench.completion(connection))["result"] == "ann [1] ['x']"


async def test_streams_both_ways() -> None:
    """A streaming method may read a client's stream."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.stream(connection, "Both", streamIds=["s"])
    bench.item(connection, 1)
    bench.item(connection, 2)
    bench.end(connection)
    await bench.completion(connection)
    assert items_of(connection) == [2, 4]


@pytest.mark.parametrize(
    ("target", "ids"),
    [("FirstTwo", []), ("FirstTwo", ["a", "b"]), ("FirstTwo", ["used"]), ("Sources", ["a", "a"])],
)
async def test_streams_that_do_not_fit_the_method_are_refused(target: str, ids: list[str]) -> None:
    """As many stream ids as stream parameters, none of them in use, or it is a call with wrong arguments."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.invoke(connection, "FirstTwo", streamIds=["used"], number="0")
    bench.invoke(connection, target, streamIds=ids)
    answer = await bench.completion(connection)
    assert answer["error"] == f"Failed to invoke '{target}' due to an error on the server."


async def test_a_client_stream_that_floods_holds_reading() -> None:
    """Ten items wait for the method, then reading is held until it has caught up with half of them."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.invoke(connection, "Total", streamIds=["s"])
    for value in range(BUFFERED_ITEMS - 1):
        bench.item(connection, {"value": value})
    assert not connection.held
    bench.item(connection, {"value": 9})
    await until(lambda: connection.held)
    bench.gate.set()
    await until(lambda: not connection.held)
    bench.end(connection)
    assert (await bench.completion(connection))["result"] == 45


async def test_a_transport_that_cannot_be_held_fails_the_stream() -> None:
    """What comes in spite of the hold has a bound, too; beyond it the method's iteration fails."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.invoke(connection, "Failing", streamIds=["s"])
    for value in range(FLOOD_ITEMS + 1):
        bench.item(connection, value)
    assert "your stream broke off" in (await bench.completion(connection))["error"]
    assert bench.log == ["the client sent items faster than they were read"]
    await until(lambda: not connection.held)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (None, "the connection has ended"),
        ("text", "the client sent an item of another type"),
        (..., "my disk is full"),
    ],
)
async def test_a_client_stream_that_breaks_off_raises_in_the_method(item: object, said: str) -> None:
    """The client's error, an item of another type, or the connection's end: after the items that came."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.invoke(connection, "Failing", streamIds=["s"])
    bench.item(connection, 7)
    if item is None:
        await bench.disconnect(connection)
    elif item is ...:
        bench.end(connection, error="my disk is full")
    else:
        bench.item(connection, item)
    await until(lambda: len(bench.log) == 2)
    assert bench.log[0] == 7
    assert bench.log[1].startswith(said)


async def test_items_after_the_method_are_ignored() -> None:
    """A method need not read to the end; late items and the stream's end find nothing, and hold nothing."""
    bench = StreamBench()
    connection = await bench.connect()
    bench.invoke(connection, "FirstTwo", streamIds=["s"])
    for value in range(BUFFERED_ITEMS + 5):
        bench.item(connection, value)
    assert (await bench.completion(connection))["result"] == [0, 1]
    await until(lambda: len(bench.sessions) == 0)
    assert not connection.held
    bench.item(connection, 99)
    bench.end(connection)
    assert len(bench.sessions) == 0


async def test_a_generator_given_by_a_filter_is_closed_as_well() -> None:
    """Filters may wrap the iterator of a streaming method; cancelling closes what they gave."""
    closed = []

    async def tenfold(invocation: Any, proceed: Any) -> Any:
        async def wrapped() -> AsyncIterator[int]:
            try:
                async with aclosing(await proceed(invocation)) as items:
                    async for item in items:
                        yield item * 10
            finally:
                closed.append(True)

        return wrapped()

    class Counter(Hub):
        async def count(self, to: int) -> AsyncIterator[int]:
            for number in range(to):
                yield number

    bench = HubBench(Counter, filters=(tenfold,))
    connection = await bench.connect()
    bench.stream(connection, "Count", 3)
    await bench.completion(connection)
    assert items_of(connection) == [0, 10, 20]
    assert closed == [True]
