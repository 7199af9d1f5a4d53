"""A hub with one of everything, to be described."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, Protocol, TypedDict, TypeVar

import msgspec

from stakewire.net.signalr import Hub, HubContext, Stream, authorize, method

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Price(msgspec.Struct, rename="camel"):
    """What a thing costs."""

    amount_minor: Annotated[int, msgspec.Meta(ge=0)]
    currency: str = "EUR"
    rates: list[Decimal] = msgspec.field(default_factory=list)
    until: dt.datetime | None = None
    note: str | msgspec.UnsetType = msgspec.UNSET
    colour: Colour = Colour.RED


class Point(msgspec.Struct, array_like=True):
    x: float
    y: float = 0.0


class Pair(NamedTuple):
    left: int
    right: str


class Options(TypedDict, total=False):
    dry: bool


@dataclass
class Customer:
    id: uuid.UUID
    friends: list[Customer]


class Page(msgspec.Struct, Generic[T]):
    items: list[T]
    more: bool


class Circle(msgspec.Struct, tag="circle"):
    radius: float


class Square(msgspec.Struct, tag="square"):
    side: float


def is_clerk(context: HubContext) -> bool:
    return context.claims.get("role") == "clerk"


class ShopClient(Protocol):
    """What the shop calls on its clients."""

    async def price_changed(self, thing: str, price: Price) -> None:
        """A price is new."""

    async def really(self, question: str) -> bool:
        """Ask the customer."""
        ...

    async def closed(self) -> None: ...


class ShopHub(Hub, client=ShopClient):
    """A shop with "quotes" in its text, */ and all.

    This paragraph is not shown.
    """

    async def price_of(self, thing: str) -> Price:
        """What `thing` costs."""
        return Price(250, until=dt.datetime(2026, 11, 20, tzinfo=dt.UTC))

    async def buy(self, things: list[str], count: int = 1, gift: bool = False) -> int:
        """How many were bought."""
        return len(things) * count + int(gift)

    async def move(self, to: Point, pair: Pair, options: Options, class_: Literal["a", 1]) -> Point:
        return Point(to.x + 1, to.y)

    async def customers(self, page: int) -> Page[Customer]:
        me = Customer(uuid.UUID(int=page), [])
        return Page([Customer(uuid.UUID(int=7), [me])], more=False)

    async def area(self, shape: Circle | Square) -> float:
        return shape.side**2 if isinstance(shape, Square) else 3 * shape.radius**2

    async def stock(self) -> dict[str, int]:
        return {"apples": 3}

    async def anything(self, value: Any, data: bytes, when: dt.timedelta) -> Sequence[tuple[int, str]]:
        return [(len(data), str(when.total_seconds()))]

    @authorize(is_clerk)
    @method("Close shop")
    async def close(self) -> None:
        """Only for clerks."""
        await self.clients.all.send("Closed")

    async def prices(self, things: list[str]) -> AsyncIterator[Price]:
        """The price of each."""
        for _ in things:
            yield Price(1)

    async def totals(self, prices: Stream[Price], every: int = 1) -> Stream[int]:
        """Sums so far."""

        async def sums() -> AsyncIterator[int]:
            total = 0
            async for price in prices:
                total += price.amount_minor
                yield total

        return sums()

    async def sum_up(self, result: int, prices: Stream[Price]) -> int:
        return result + sum([price.amount_minor async for price in prices])

    async def ask_me(self, question: str) -> bool:
        await self.clients.caller.send("PriceChanged", "apple", Price(99))
        return await self.clients.caller.invoke("Really", question, result=bool)
