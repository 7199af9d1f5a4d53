"""The client that delivers callbacks: one POST, one answer, and an exact word on what a failure leaves known.

Own and small because deliveries need what general clients hide: whether any byte may have reached the
peer (`NotSent` or `NoAnswer`), no retry and no redirect behind our back, and a connection to an address
that the egress guard has judged. `docs/decisions/2026-11-20-callback-client.md` has the figures.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from stakewire.clock import Clock
from stakewire.errors import Refused, Unavailable
from stakewire.net.client_connection import AnswerLimits, ClientConnection, ConnectionFailed
from stakewire.net.client_pool import Pool
from stakewire.net.egress import Destination, EgressGuard

USER_AGENT = "stakewire"


class NotSent(Unavailable):
    """Nothing of the request left this process: the peer cannot have acted on it.

    Attributes:
        reason: one sentence.
    """

    default_code = "NOT_SENT"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoAnswer(Unavailable):
    """The request, or a part, may have reached the peer; no complete answer came back.

    Attributes:
        reason: one sentence.
    """

    default_code = "NO_ANSWER"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer.

    Attributes:
        headers: (name in lower case, value).
        body: at most 64 KiB, as it came: nothing is decompressed.
        address: the IP address that answered.
        sent_at, answered_at: seconds of the monotonic clock.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    address: str
    sent_at: float
    answered_at: float


class CallbackClient:
    """Posts to callback URLs over keep-alive connections, at most so many per lane and destination.

    A destination is a scheme, host and port; a lane is whoever must not be held up by others, such as one
    client of several on one host. Requests beyond the bound wait their turn, within their own timeout. At
    most `max_destinations` keep idle connections; the one at rest longest loses its own.
    """

    def __init__(
        self,
        guard: EgressGuard,
        *,
        max_connections_per_destination: int,
        clock: Clock,
        idle_seconds: float = 30.0,
        connect_seconds: float = 5.0,
        max_destinations: int = 1024,
        limits: AnswerLimits | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = guard
        self._max_connections = max_connections_per_destination
        self._monotonic = clock.monotonic
        self._idle_seconds = idle_seconds
        self._connect_seconds = connect_seconds
        self._max_destinations = max_destinations
        self._limits = AnswerLimits() if limits is None else limits
        self._tls = ssl_context
        self._pools: OrderedDict[tuple[int, str, str, int], Pool] = OrderedDict()
        self._openings: dict[tuple[str, str], bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        timeout: float,
        *,
        lane: int = 0,
        fresh: bool = False,
    ) -> HttpAnswer:
        """Send `body` once and wait for the answer, all within `timeout` seconds.

        Lanes share no connection, also where they lead to the same destination.

        With `fresh` a new connection is made even if an idle one is there. A kept connection is used
        only if the peer has not closed it and its address is among those judged just now.

        Raises:
            NotSent: nothing reached the peer.
            NoAnswer: something may have.
            ValueError: a header that cannot be sent.
        """
        deadline = self._monotonic() + timeout
        destination = self._guard.recent(url)
        if destination is None:
            destination = await self._judge(url, timeout)
        pool = self._pool(lane, destination)
        data = self._head(destination, headers) + b"%d\r\n\r\n%b" % (len(body), body)
        connection = None if fresh else pool.take_idle(destination.addresses, self._monotonic())
        if connection is None:
            connection = await self._connection(pool, destination, deadline, fresh=fresh)
        sent_at = self._monotonic()
        try:
            raw = await connection.exchange(data, deadline - sent_at)
        except ConnectionFailed as failure:
            raise NoAnswer(str(failure)) from None
        finally:
            pool.give_back(connection, self._monotonic())
        return HttpAnswer(raw.status, raw.headers, raw.body, connection.address, sent_at, self._monotonic())

    async def close(self) -> None:
        """Close every connection; answers that are awaited are lost, and later posts are NotSent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        await asyncio.sleep(0)

    async def _judge(self, url: str, timeout: float) -> Destination:
        try:
            async with asyncio.timeout(timeout):
                return await self._guard.check(url)
        except TimeoutError:
            raise NotSent("the host's address was not found in time") from None
        except (Refused, Unavailable) as error:
            raise NotSent(error.message) from None

    def _pool(self, lane: int, destination: Destination) -> Pool:
        if self._closed:
            raise NotSent("this client is closed")
        key = (lane, destination.scheme, destination.host, destination.port)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(self._max_connections, self._idle_seconds)
            if len(self._pools) > self._max_destinations:
                self._forget_one()
            if self._timer is None:
                self._sweep()
        else:
            self._pools.move_to_end(key)
        return pool

    def _forget_one(self) -> None:
        """Drop the destination that was at rest longest; those at work stay, bounded by their callers."""
        newest = next(reversed(self._pools))
        for key, pool in self._pools.items():
            if pool.at_rest and key != newest:
                pool.close()
                del self._pools[key]
                return

    def _sweep(self) -> None:
        """Close what was idle too long and forget destinations without connections, while there are any."""
        now = self._monotonic()
        for key, pool in tuple(self._pools.items()):
            pool.close_old(now)
            if pool.empty and self._timer is not None:
                del self._pools[key]
        self._timer = None
        if self._pools:
            wait = self._idle_seconds / 2
            self._timer = asyncio.get_running_loop().call_later(wait, self._sweep)

    def _head(self, destination: Destination, headers: Sequence[tuple[str, str]]) -> bytes:
        """Everything before the value of content-length."""
        key = (destination.authority, destination.path)
        opening = self._openings.get(key)
        if opening is None:
            if len(self._openings) >= self._max_destinations:
                self._openings.clear()
            opening = self._openings[key] = (
                f"POST {destination.path} HTTP/1.1\r\nhost: {destination.authority}\r\n"
                f"user-agent: {USER_AGENT}\r\naccept-encoding: identity\r\n"
            ).encode("ascii")
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or "\0" in lines:
            raise ValueError("a header may not contain a line end")
        return opening + lines.encode("latin-1") + b"content-length: "

    async def _connection(
        self, pool: Pool, destination: Destination, deadline: float, *, fresh: bool
    ) -> ClientConnection:
        """Wait for an idle connection or for a place to make one."""
        now = self._monotonic()
        try:
            async with asyncio.timeout(deadline - now):
                connection = await pool.take_or_place(destination.addresses, now, fresh=fresh)
        except TimeoutError:
            raise NotSent("no connection to this destination became free in time") from None
        except ConnectionFailed as failure:
            raise NotSent(str(failure)) from None
        if connection is not None:
            return connection
        try:
            connection = await self._connect(destination, deadline)
        except BaseException:
            pool.leave()
            raise
        pool.made(connection)
        return connection

    async def _connect(self, destination: Destination, deadline: float) -> ClientConnection:
        loop = asyncio.get_running_loop()
        context = None
        if destination.scheme == "https":
            if self._tls is None:
                self._tls = ssl.create_default_context()
            context = self._tls
        reason = ""
        for address in destination.addresses:
            left = deadline - self._monotonic()
            if left <= 0:
                break
            try:
                async with asyncio.timeout(min(left, self._connect_seconds)):
                    _, connection = await loop.create_connection(
                        lambda address=address: ClientConnection(address, self._limits),
                        address,
                        destination.port,
                        ssl=context,
                        server_hostname=destination.host if context else None,
                    )
                return connection
            except TimeoutError:
                reason = f"{address} did not take the connection in time"
            except ssl.SSLError as error:
                reason = f"TLS with {address} failed: {error.reason or error}"
            except OSError as error:
                reason = f"{address} refused the connection: {error.strerror or error}"
        raise NotSent(reason or "no time was left to connect")
