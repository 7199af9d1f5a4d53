"""Streams from this side to the server: arguments that are async iterators."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

from stakewire.client.signalr.errors import HubError, NotConnected
from stakewire.wire.signalr.messages import Completion, StreamItem

log = logging.getLogger("stakewire.client.signalr")

Say = Callable[[StreamItem | Completion], Awaitable[None]]


def split(arguments: tuple[Any, ...]) -> tuple[list[Any], list[AsyncIterable[Any]]]:
    """The plain arguments, and the streams among them; both keep their order."""
    plain, streams = [], []
    for argument in arguments:
        if isinstance(argument, AsyncIterable):
            streams.append(argument)
        else:
            plain.append(argument)
    return plain, streams


class Uploads:
    """The streams being sent, each by a task of its own."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, stream_id: str, source: AsyncIterable[Any], say: Say) -> None:
        """Send what `source` gives, then its end; `say` waits while there is no room."""
        self._running[stream_id] = asyncio.create_task(self._send(stream_id, source, say))

    def stop(self, stream_ids: tuple[str, ...]) -> None:
        """The call that these belong to is over: nobody takes them any more."""
        for stream_id in stream_ids:
            if (task := self._running.get(stream_id)) is not None:
                task.cancel()

    def cancel_all(self) -> None:
        """The connection is gone."""
        self.stop(tuple(self._running))

    async def stop_all(self) -> None:
        """Cancel all and wait until their sources are closed."""
        self.cancel_all()
        running = [task for task in self._running.values() if task is not asyncio.current_task()]
        if running:
            await asyncio.wait(running)

    async def _send(self, stream_id: str, source: AsyncIterable[Any], say: Say) -> None:
        try:
            ending = Completion(stream_id)
            try:
                async for item in source:
                    await say(StreamItem(stream_id, item))
            except HubError as error:
                ending = Completion(stream_id, error=error.message)
            except NotConnected:
                raise
            except Exception as error:
                log.error("the source of a stream to the server failed", exc_info=error)
                ending = Completion(stream_id, error="The client's stream failed.")
            await say(ending)
        except NotConnected:
            return  # the calls that this belongs to have been told
        finally:
            del self._running[stream_id]
            if (close := getattr(source, "aclose", None)) is not None:
                await close()
