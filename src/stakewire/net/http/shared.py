"""What every connection of one server has in common, and the shapes its parts meet in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from stakewire.clock import Clock
from stakewire.net.http.limits import HttpLimits
from stakewire.net.http.request import Request
from stakewire.net.http.response import Heads
from stakewire.net.http.takeover import Places
from stakewire.net.proxy import TrustedProxies

if TYPE_CHECKING:
    from stakewire.net.http.connection import Connection
    from stakewire.net.http.direct import DirectExchange

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Respond(Protocol):
    """Answers one hot request, now or later, exactly once; from the event loop's thread.

    After the client has gone it does nothing. Called twice, it raises RuntimeError.
    """

    def __call__(self, status: int, body: bytes, content_type: bytes = ...) -> None: ...


HotHandler = Callable[[Request, Respond], None]
"""Takes a complete hot request; must not block, and calls the Respond once, then or later."""

FindHot = Callable[[str, str], HotHandler | None]
"""Given method and raw path, the handler of a hot route, or None: then the ASGI app answers."""


DirectHandler = Callable[[Request, "DirectExchange"], None]
"""Takes a complete request of a direct route when its turn has come; must not block, answers now or later."""

FindDirect = Callable[[str, str], DirectHandler | None]
"""Given method and raw path, the handler of a direct route, or None."""


class Exchange(Protocol):
    """A request that waits for its answer in the connection's queue: HotExchange, DirectExchange,
    AsgiExchange, Refusal."""

    @property
    def answer(self) -> bytes | None: ...
    @property
    def closes(self) -> bool: ...
    @property
    def streams(self) -> bool: ...
    def lead(self) -> None: ...
    def lost(self) -> None: ...
    def server_stops(self) -> None: ...


class Shared:
    """One per server.

    Attributes:
        connections: the open ones, refused ones that still linger included.
        refused: how many requests and connections, by the code of the refusal.
        places: how many connections other protocols have taken over.
        stopping: no further request is read; every answer says `connection: close`.
        state: what the app's lifespan put there for its requests.
    """

    __slots__ = (
        "app",
        "clock",
        "connections",
        "find_direct",
        "find_hot",
        "heads",
        "limits",
        "loop",
        "places",
        "proxies",
        "refused",
        "state",
        "stopping",
        "tasks",
    )

    def __init__(
        self,
        *,
        app: AsgiApp,
        find_hot: FindHot,
        find_direct: FindDirect,
        limits: HttpLimits,
        proxies: TrustedProxies,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.app = app
        self.find_hot = find_hot
        self.find_direct = find_direct
        self.limits = limits
        self.proxies = proxies
        self.clock = clock
        self.loop = loop
        self.heads = Heads(clock.now())
        self.connections: set[Connection] = set()
        self.places = Places()
        self.refused: dict[str, int] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.state: dict[str, Any] = {}
        self.stopping = False

    def count_refused(self, code: str) -> None:
        """One more that was refused."""
        self.refused[code] = self.refused.get(code, 0) + 1

    def open_connections(self) -> int:
        """All clients: those that speak HTTP, and those that another protocol has taken over."""
        return len(self.connections) + self.places.taken
