"""Claims about reading a hub class: what is offered to clients, and what is refused at start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from stakewire.errors import ConfigError
from stakewire.net.signalr.hub import Hub, Stream, method
from stakewire.net.signalr.methods import describe_hub, wire_name


class Base(Hub):
    async def inherited(self) -> None: ...

    async def overridden(self, number: int) -> int:
        return number


class Derived(Base):
    @method("other-name")
    async def overridden(self, number: int) -> int:
        return number + 1

    async def counts(self, to: int, start: int = 0) -> AsyncIterator[int]:
        """Numbers."""
        for number in range(start, to):
            yield number

    async def reads(self, name: str, items: Stream[int]) -> Stream[str]:
        async def texts() -> AsyncIterator[str]:
            async for item in items:
                yield f"{name}{item}"

        return texts()

    async def _private(self) -> None: ...


def test_a_hub_is_read_with_what_it_inherits() -> None:
    """Parents' methods are offered too, once each; names, streams, defaults and texts are known."""
    found = {one.attribute: one for one in describe_hub(Derived).methods}
    assert list(found) == ["inherited", "overridden", "counts", "reads"]
    assert found["overridden"].name == "other-name"
    counts, reads = found["counts"], found["reads"]
    assert (counts.name, counts.result, counts.streaming, counts.required) == ("Counts", int, True, 1)
    assert counts.doc == "Numbers."
    assert [(one.name, one.type) for one in reads.parameters] == [("name", str)]
    assert [(one.name, one.type) for one in reads.streams] == [("items", int)]
    assert reads.positions == (False, True)
    assert (reads.result, reads.streaming) == (str, True)


@pytest.mark.parametrize(
    ("attribute", "name"),
    [("send_message", "SendMessage"), ("ping", "Ping"), ("sendIt", "SendIt"), ("a1_b", "A1B")],
)
def test_names_on_the_wire(attribute: str, name: str) -> None:
    """As .NET and the stock clients write them."""
    assert wire_name(attribute) == name


class NoAnnotation(Hub):
    async def call(self, number) -> None: ...  # type: ignore[no-untyped-def]


class NoResult(Hub):
    async def call(self, number: int): ...  # type: ignore[no-untyped-def]


class NotAsync(Hub):
    def call(self) -> None: ...


class Keywords(Hub):
    async def call(self, *, number: int) -> None: ...


class Many(Hub):
    async def call(self, *numbers: int) -> None: ...


class BadType(Hub):
    async def call(self, number: int | object | Hub) -> None: ...


class Twice(Hub):
    async def call_it(self) -> None: ...

    @method("CALLIT")
    async def other(self) -> None: ...


class DefaultStream(Hub):
    async def call(self, items: Stream[int] = None) -> None: ...  # type: ignore[assignment]


class Unknown(Hub):
    async def call(self, number: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class BadClient(Hub, client=NotAsync):
    """What it calls on clients is described as badly."""


@pytest.mark.parametrize(
    ("hub", "text"),
    [
        (NoAnnotation, "NoAnnotation.call: `number` has no annotation"),
        (NoResult, "NoResult.call does not say what it returns"),
        (NotAsync, "NotAsync.call is public and no `async def`"),
        (Keywords, "Keywords.call: `number` cannot be sent"),
        (Many, "Many.call: `numbers` cannot be sent"),
        (BadType, "BadType.call: `number` is of a type that cannot be sent"),
        (Twice, "are both called 'CALLIT' on the wire"),
        (DefaultStream, "a stream has no default"),
        (Unknown, "an annotation names what its module does not know"),
        (BadClient, "NotAsync.call is public and no `async def`"),
    ],
)
def test_a_hub_that_cannot_be_offered_is_refused(hub: type[Hub], text: str) -> None:
    """The error names class and method and says what to do; no client ever meets such a method."""
    with pytest.raises(ConfigError) as refused:
        describe_hub(hub)
    assert text in refused.value.message


def test_a_protocol_describes_what_clients_have() -> None:
    """`client=` takes a class of async methods; what protocols bring along is not among them."""

    class Screen(Protocol):
        async def show(self, text: str) -> None: ...

    class Shower(Hub, client=Screen):
        async def start(self, value: Any) -> None: ...

    (shown,) = describe_hub(Shower).client_methods
    assert (shown.name, shown.parameters[0].type, shown.result) == ("Show", str, type(None))
