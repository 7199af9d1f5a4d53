"""Claims about sending to clients, groups, results of clients, connecting, disconnecting and filters."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.signalr.hubs import HubBench, RecordingConnection, until

from stakewire.errors import Refused
from stakewire.net.signalr.clients import InvokeFailed
from stakewire.net.signalr.filters import Filter, HubFilter, InvocationContext, Next, Proceed
from stakewire.net.signalr.hub import Hub, HubContext, HubError, authorize
from stakewire.wire.signalr.errors import NotWritable
from stakewire.wire.signalr.shared import SharedMessage, Variant


class Chat(Hub):
    async def join(self, room: str) -> None:
        await self.groups.add(self.context.connection_id, room)

    async def leave(self, room: str) -> None:
        await self.groups.remove(self.context.connection_id, room)

    async def tell(self, whom: str, name: str) -> None:
        clients = self.clients
        receivers = {
            "all": clients.all,
            "caller": clients.caller,
            "others": clients.others,
            "all_except": clients.all_except(name),
            "client": clients.client(name),
            "clients": clients.clients([name, "b"]),
            "group": clients.group(name),
            "groups": clients.groups([name, "kitchen"]),
            "others_in_group": clients.others_in_group(name),
            "user": clients.user(name),
            "users": clients.users([name, "bob"]),
        }
        await receivers[whom].send("Told", whom)


async def people(bench: HubBench[Any]) -> dict[str, RecordingConnection]:
    """Ann twice (a, x), Bob (b), somebody without a name (c); a and b in the kitchen, b and c in the hall."""
    users = {"a": "ann", "x": "ann", "b": "bob", "c": None}
    found = {name: await bench.connect(name, user) for name, user in users.items()}
    for name, rooms in {"a": ["kitchen"], "b": ["kitchen", "hall"], "c": ["hall"]}.items():
        for room in rooms:
            await bench.groups.add(name, room)
    return found


@pytest.mark.parametrize(
    ("whom", "name", "reached"),
    [
        ("all", "", "abcx"),
        ("caller", "", "a"),
        ("others", "", "bcx"),
        ("all_except", "c", "abx"),
        ("client", "c", "c"),
        ("client", "nobody", ""),
        ("clients", "c", "bc"),
        ("group", "kitchen", "ab"),
        ("group", "nowhere", ""),
        ("groups", "hall", "abc"),
        ("others_in_group", "kitchen", "b"),
        ("others_in_group", "hall", "bc"),
        ("user", "ann", "ax"),
        ("users", "ann", "abx"),
        ("user", "nobody", ""),
    ],
)
async def test_whom_a_message_reaches(whom: str, name: str, reached: str) -> None:
    """Each receiver gets it once, even who is in two of the groups."""
    bench = HubBench(Chat)
    found = await people(bench)
    bench.invoke(found["a"], "Tell", whom, name, number=None)
    await until(lambda: len(bench.sessions) == 0)
    told = {"type": 1, "target": "Told", "arguments": [whom]}
    assert "".join(sorted(who for who, one in found.items() if one.sent == [told])) == reached
    assert all(one.sent in ([], [told]) for one in found.values())


async def test_a_message_for_many_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All members of a group are given the very same bytes."""
    frames: list[bytes] = []

    def remember(connection: RecordingConnection, shared: SharedMessage) -> None:
        frames.append(shared.frame(Variant.WS_JSON))

    monkeypatch.setattr(RecordingConnection, "send_shared", remember)
    bench = HubBench(Chat)
    for number in range(5):
        await bench.connect(f"c{number}")
        await bench.groups.add(f"c{number}", "room")
    await bench.clients.group("room").send("News", 1)
    assert len(frames) == 5
    assert len({id(frame) for frame in frames}) == 1


async def test_what_cannot_be_encoded_is_told_to_the_sender() -> None:
    """The code that sends learns it; no client is closed."""
    bench = HubBench(Chat)
    found = await people(bench)
    with pytest.raises(NotWritable):
        await bench.clients.all.send("News", object())
    assert not any(one.closed for one in found.values())


async def test_clients_join_and_leave_groups() -> None:
    """Joining twice is joining once; leaving a group that one is not in does nothing."""
    bench = HubBench(Chat)
    connection = await bench.connect("a")
    for target in ("Join", "Join", "Leave", "Leave", "Join"):
        await bench.call(connection, target, "room")
    await bench.clients.group("room").send("News")
    assert [one["target"] for one in connection.sent] == ["News"]
    await bench.call(connection, "Leave", "room")
    await bench.clients.group("room").send("News")
    assert len(connection.sent) == 1


async def test_membership_ends_with_the_connection() -> None:
    """Nothing of a connection is left: a new one of the same name is in no group."""
    bench = HubBench(Chat)
    found = await people(bench)
    await bench.disconnect(found["a"])
    await bench.groups.add("a", "kitchen")  # comes too late, and has no effect
    again = await bench.connect("a", "ann")
    await bench.clients.groups(["kitchen", "hall"]).send("News")
    assert again.sent == []
    await bench.clients.user("ann").send("News")
    assert len(again.sent) == 1


async def test_groups_of_a_connection_are_bounded() -> None:
    """A client that joins ever more groups is refused, and may leave one for another."""
    bench = HubBench(Chat, max_groups=2)
    await bench.connect("a")
    await bench.groups.add("a", "1")
    await bench.groups.add("a", "2")
    await bench.groups.add("a", "2")
    with pytest.raises(Refused, match="2 groups at most"):
        await bench.groups.add("a", "3")
    await bench.groups.remove("a", "1")
    await bench.groups.add("a", "3")


# Results of clients.


class Asking(Hub):
    async def ask(self, seconds: float) -> str:
        try:
            age = await self.clients.caller.invoke("Age", "you", result=int, timeout=seconds)
        except InvokeFailed as failure:
            return failure.code
        return f"{age + 1}"


async def asked(bench: HubBench[Any], connection: RecordingConnection) -> str:
    """The invocation id under which the client was asked."""
    await until(lambda: any(one["type"] == 1 for one in connection.sent))
    (question,) = (one for one in connection.sent if one["type"] == 1)
    assert question["target"] == "Age"
    assert question["arguments"] == ["you"]
    identifier: str = question["invocationId"]
    return identifier


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"result": 41}, "42"),
        ({"result": "x"}, "WRONG_RESULT"),
        ({}, "WRONG_RESULT"),
        ({"error": "Client didn't provide a result."}, "CLIENT_ERROR"),
    ],
)
async def test_a_client_is_asked_for_a_result(answer: dict[str, Any], result: str) -> None:
    """A method that holds its client's only turn may ask that client: results need no turn."""
    bench = HubBench(Asking)
    connection = await bench.connect()
    bench.invoke(connection, "Ask", 60)
    number = await asked(bench, connection)
    bench.receive(connection, type=3, invocationId=number, **answer)
    assert (await bench.completion(connection))["result"] == result
    bench.receive(connection, type=3, invocationId=number, **answer)  # once more is ignored
    await until(lambda: len(bench.sessions) == 0)


async def test_a_client_that_gives_no_result_in_time() -> None:
    """The wait ends; the answer that comes later is ignored."""
    bench = HubBench(Asking)
    connection = await bench.connect()
    bench.invoke(connection, "Ask", 0.001)
    number = await asked(bench, connection)
    async with asyncio.timeout(5):
        while not any(one["type"] == 3 for one in connection.sent):
            await asyncio.sleep(0.001)
    assert (await bench.completion(connection))["result"] == "CLIENT_TIMED_OUT"
    bench.receive(connection, type=3, invocationId=number, result=1)
    await until(lambda: len(bench.sessions) == 0)


async def test_a_connection_that_ends_gives_no_result() -> None:
    """Whoever waits for its result learns at once; and there is nobody to ask afterwards."""
    bench = HubBench(Chat)
    connection = await bench.connect("a")
    waiting = asyncio.ensure_future(bench.clients.client("a").invoke("Age", result=int))
    await until(lambda: bool(connection.sent))
    await bench.disconnect(connection)
    for attempt in (waiting, bench.clients.client("a").invoke("Age", result=int)):
        with pytest.raises(InvokeFailed) as failed:
            await attempt
        assert failed.value.code == "CONNECTION_GONE"


async def test_questions_to_one_client_are_bounded() -> None:
    """One more than allowed is refused before anything is sent."""
    bench = HubBench(Chat, max_client_results=1)
    connection = await bench.connect("a")
    waiting = asyncio.ensure_future(bench.clients.client("a").invoke("Age", result=int))
    await until(lambda: bool(connection.sent))
    with pytest.raises(InvokeFailed) as failed:
        await bench.clients.client("a").invoke("Age", result=int)
    assert failed.value.code == "TOO_MANY_CALLS"
    waiting.cancel()
    await until(lambda: len(bench.sessions) == 0)


# Connecting and disconnecting.


class Door(Hub):
    log: list[str]

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def on_connected(self) -> None:
        self.log.append("connected")
        if self.context.user_id == "refused":
            raise HubError("the hub is closed today")
        if self.context.user_id == "unlucky":
            raise RuntimeError("a secret")
        if self.context.user_id == "curious":
            await self.clients.caller.invoke("Age", result=int)
        await self.groups.add(self.context.connection_id, "everybody")
        await self.clients.caller.send("Welcome")

    async def on_disconnected(self, error: str | None) -> None:
        self.log.append(f"disconnected {error}")

    async def wait(self) -> None:
        gate: asyncio.Event = self.context.items.setdefault("gate", asyncio.Event())
        await gate.wait()
        self.log.append("method ended")


def door(**more: Any) -> tuple[HubBench[Door], list[str]]:
    log: list[str] = []
    return HubBench(Door, provide=lambda hub: hub(log), **more), log


async def test_on_connected_may_send_and_join() -> None:
    """The connection can be reached while `on_connected` runs, and its end is told."""
    bench, log = door()
    connection = await bench.connect()
    assert [one["target"] for one in connection.sent] == ["Welcome"]
    await bench.clients.group("everybody").send("News")
    assert len(connection.sent) == 2
    await bench.disconnect(connection, "the line broke")
    assert log == ["connected", "disconnected the line broke"]


async def test_on_connected_refuses_with_a_text() -> None:
    """A HubError closes the connection with its text, and `on_disconnected` is not called for it."""
    bench, log = door()
    connection = await bench.connect("c", "refused")
    assert connection.said == "Connection closed with an error. HubException: the hub is closed today"
    assert len(bench.members.connections) == 0
    await bench.disconnect(connection)
    assert log == ["connected"]


@pytest.mark.parametrize(("user", "error"), [("unlucky", RuntimeError), ("curious", InvokeFailed)])
async def test_on_connected_that_fails_refuses(user: str, error: type[Exception]) -> None:
    """Whatever it raises goes to who runs the connection; asking the client so early is such a mistake."""
    bench, _ = door()
    with pytest.raises(error):
        await bench.connect("c", user)
    assert len(bench.members.connections) == 0


async def test_on_disconnected_comes_last() -> None:
    """It waits for the methods that still run, though groups and users are left at once."""
    bench, log = door()
    connection = await bench.connect()
    bench.invoke(connection, "Wait")
    await until(lambda: "gate" in connection.items)
    ending = asyncio.ensure_future(bench.disconnect(connection))
    await until(lambda: len(bench.members.connections) == 0)
    assert log == ["connected"]
    connection.items["gate"].set()
    await ending
    assert log == ["connected", "method ended", "disconnected None"]


def over_18(context: HubContext) -> bool:
    return int(str(context.claims.get("age", 0))) > 18


@authorize(over_18)
class Adults(Hub):
    async def hello(self) -> str:
        return "hello"


class Bar(Adults):
    """Derives its policy, too."""


@pytest.mark.parametrize("hub", [Adults, Bar])
async def test_a_policy_on_the_class_is_asked_at_the_door(hub: type[Hub]) -> None:
    """Who does not satisfy it is closed without a word why."""
    bench = HubBench(hub)
    assert (await bench.call(await bench.connect("a", age=19), "Hello"))["result"] == "hello"
    child = await bench.connect("b", age=12)
    assert child.said == "Connection closed with an error."
    assert list(bench.members.connections) == ["a"]


# Filters.


class Logging(HubFilter):
    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def __call__(self, invocation: InvocationContext, proceed: Next) -> Any:
        self.log.append(f"{self.name} {invocation.method.name} {invocation.arguments}")
        return await proceed(invocation)

    async def on_connected(self, hub: Hub, proceed: Proceed) -> None:
        self.log.append(f"{self.name} connected")
        await proceed()

    async def on_disconnected(self, hub: Hub, error: str | None, proceed: Proceed) -> None:
        self.log.append(f"{self.name} disconnected")
        await proceed()


class Quiet(Hub):
    async def double(self, number: int) -> int:
        return number * 2


async def test_filters_go_around_everything() -> None:
    """The first filter is the outermost; each sees connect, calls and disconnect."""
    log: list[str] = []
    bench = HubBench(Quiet, filters=(Logging("outer", log), Logging("inner", log)))
    connection = await bench.connect()
    assert (await bench.call(connection, "Double", 2))["result"] == 4
    await bench.disconnect(connection)
    assert log == [
        *("outer connected", "inner connected"),
        *("outer Double [2]", "inner Double [2]"),
        *("outer disconnected", "inner disconnected"),
    ]


async def change(invocation: InvocationContext, proceed: Next) -> Any:
    invocation.arguments[0] += 1
    return await proceed(invocation) + 100


async def refuse(invocation: InvocationContext, proceed: Next) -> Any:
    raise HubError(f"{invocation.context.user_id} may not {invocation.method.name}")


class Closed(HubFilter):
    async def on_connected(self, hub: Hub, proceed: Proceed) -> None:
        raise HubError("closed")


async def test_a_plain_function_is_a_filter() -> None:
    """It may change arguments and results."""
    bench = HubBench(Quiet, filters=(change,))
    assert (await bench.call(await bench.connect(), "Double", 2))["result"] == 106


@pytest.mark.parametrize(
    ("one", "said"), [(refuse, "HubException: ann may not Double"), (Closed(), "HubException: closed")]
)
async def test_filters_may_refuse(one: Filter, said: str) -> None:
    """What a filter raises counts as raised by the method, or by `on_connected`."""
    bench = HubBench(Quiet, filters=(one,))
    connection = await bench.connect("c", "ann")
    if connection.said is None:
        assert (await bench.call(connection, "Double", 2))["error"].endswith(said)
    else:
        assert connection.said.endswith(said)
