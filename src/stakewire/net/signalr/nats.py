"""The backplane of hub processes that share a NATS server or cluster: core NATS, nothing stored.

NATS delivers at most once. Each message carries its publisher's number and each publisher says every second
how far it has come, so a reader notices what is missing; a reader that was cut off says so itself. Needs the
extra: `pip install stakewire[nats]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from stakewire.errors import ConfigError, Unavailable
from stakewire.ids import Tokens
from stakewire.wire.backplane.numbers import MAX_BODY, Arrivals, Foreign, Outgoing

try:
    import nats
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.errors import Error as NatsError
except ImportError as missing:
    raise ImportError("the package nats-py is missing; run: pip install 'stakewire[nats]'") from missing

_ANSWER_SECONDS = 5.0  # a server that does not answer within it is taken for lost
_AGAIN_SECONDS = 0.5  # between two attempts to reach a server that is away

_log = structlog.get_logger("stakewire.hub")


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsLimits:
    """Bounds and times."""

    max_waiting: int = 10_000  # messages that wait for a server that is away
    max_waiting_bytes: int = 64 * 1024 * 1024
    max_unread: int = 50_000  # messages that have arrived and wait for this process; beyond, they are missed
    max_unread_bytes: int = 64 * 1024 * 1024
    batch: int = 500
    batch_bytes: int = 4 * 1024 * 1024
    connect_seconds: float = 5.0  # how long `start` tries
    beat_seconds: float = 1.0  # how soon a loss at the tail is noticed
    stop_seconds: float = 5.0


class NatsBackplane:
    """A `Backplane` on NATS; one object per hub and process. Processes of one hub give the same `subject`."""

    def __init__(
        self, servers: str | Sequence[str], *, subject: str, tokens: Tokens, limits: NatsLimits | None = None
    ) -> None:
        self._servers = [servers] if isinstance(servers, str) else list(servers)
        self._subject = subject
        self._limits = limits or NatsLimits()
        self._outgoing = Outgoing(
            tokens, max_messages=self._limits.max_waiting, max_bytes=self._limits.max_waiting_bytes
        )
        self._arrivals = Arrivals()
        self._heard = -1  # the newest own number that has come back
        self._hears = asyncio.Event()
        self._woken = asyncio.Event()
        self._ending = False
        self._writer: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """See `Backplane.waiting`."""
        return len(self._outgoing)

    @property
    def connected(self) -> bool:
        """See `Backplane.connected`."""
        return self._writer is not None and self._client.is_connected

    async def start(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """See `Backplane.start`.

        Raises:
            ConfigError: the server takes only shorter messages.
            Unavailable: no server answers.
        """
        self._receive, self._lost = receive, lost
        self._client = await self._connect()
        if self._client.max_payload < MAX_BODY + 1024:
            await self._client.close()
            raise ConfigError(f"the NATS server's max_payload must be at least {MAX_BODY + 1024}")
        await self._client.subscribe(
            self._subject,
            cb=self._on_message,
            pending_msgs_limit=self._limits.max_unread,
            pending_bytes_limit=self._limits.max_unread_bytes,
        )
        # What comes back has been through the subscription. (A flush proves nothing: its PING goes out before
        # what still waits in the client.)
        if not await self._hand_over([self._outgoing.beat()]):
            await self._client.close()
            raise Unavailable("NATS took a subscription and delivers nothing to it")
        self._writer = asyncio.create_task(self._write())

    def publish(self, data: bytes) -> None:
        """See `Backplane.publish`; raises as it does."""
        self._outgoing.put(data)
        self._woken.set()

    async def stop(self) -> None:
        """See `Backplane.stop`."""
        if self._writer is None:
            return
        self._ending = True
        self._woken.set()
        await asyncio.wait({self._writer}, timeout=self._limits.stop_seconds)
        if self.waiting:
            _log.error("messages are lost: the backplane stayed away", messages=self.waiting)
        self._writer.cancel()
        await asyncio.wait({self._writer})
        self._writer = None
        await self._client.close()

    async def _connect(self) -> Client:
        async def away() -> None:
            if not self._ending:
                _log.warning("the backplane is away")

        async def back() -> None:
            _log.info("the backplane is back")
            self._miss("this process was cut off from NATS")
            self._hears.set()
            self._woken.set()

        async def fault(error: Exception) -> None:
            _log.info("the backplane has trouble", error=str(error) or type(error).__name__)

        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                return await nats.connect(
                    self._servers,
                    error_cb=fault,
                    disconnected_cb=away,
                    reconnected_cb=back,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_AGAIN_SECONDS,
                    connect_timeout=_ANSWER_SECONDS,
                    ping_interval=10,
                    max_outstanding_pings=2,
                )
        except (OSError, NatsError) as error:
            raise Unavailable(f"NATS cannot be reached: {str(error) or type(error).__name__}") from error

    async def _write(self) -> None:
        """Send what waits while there is a server, and after it how far this publisher has come."""
        while True:
            self._woken.clear()
            while batch := self._outgoing.first(
                max_messages=self._limits.batch, max_bytes=self._limits.batch_bytes
            ):
                if not await self._hand_over(batch):
                    await asyncio.sleep(_AGAIN_SECONDS)
                    continue
                self._outgoing.written(len(batch))
            if self._ending and not self._outgoing:
                return
            try:
                async with asyncio.timeout(self._limits.beat_seconds):
                    await self._woken.wait()
            except TimeoutError:
                if not self._outgoing:
                    await self._hand_over([self._outgoing.beat()])

    async def _hand_over(self, batch: list[bytes]) -> bool:
        """Whether these have come back; if not they are sent again, and readers know the numbers."""
        if not self._client.is_connected:
            return False
        connection = self._client.stats["reconnects"]
        last = self._outgoing.knows(batch[-1])
        assert last is not None
        try:
            for message in batch:
                await self._client.publish(self._subject, message)
            async with asyncio.timeout(_ANSWER_SECONDS):
                while self._heard < last:
                    if self._client.stats["reconnects"] != connection:
                        return False
                    self._hears.clear()
                    await self._hears.wait()
        except (OSError, NatsError):
            return False
        return True

    async def _on_message(self, message: Msg) -> None:
        try:
            missed, body = self._arrivals.take(message.data)
        except Foreign as fault:
            _log.warning("a message between hub processes is passed over", error=str(fault))
            return
        own = self._outgoing.knows(message.data)
        if own is not None:
            self._heard = max(self._heard, own)
            self._hears.set()
        if missed:
            self._miss("a publisher's messages are not all there")
        if body is not None:
            self._receive(body)

    def _miss(self, why: str) -> None:
        _log.warning("messages between hub processes were missed", hub=self._subject, why=why)
        self._lost()
