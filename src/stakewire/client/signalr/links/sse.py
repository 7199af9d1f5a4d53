"""Server-sent events for receiving, POST for sending."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp

from stakewire.client.signalr.links.base import HttpRefused, LinkEnded
from stakewire.client.signalr.links.events import EventReader, EventTooLarge
from stakewire.client.signalr.links.http import NETWORK_ERRORS, HubHttp, Poster, describe, only_once


class EventsLink:
    """See `Link`. The protocol has no closing words: the request just ends."""

    inherent_keep_alive = False
    duplex = False

    def __init__(self, answer: aiohttp.ClientResponse, poster: Poster, max_message_bytes: int) -> None:
        self._answer = answer
        self._poster = poster
        self._events = EventReader(max_message_bytes)

    async def send(self, data: bytes) -> None:
        """See `Link.send`."""
        await self._poster.post(data)

    async def receive(self) -> bytes:
        """See `Link.receive`."""
        while True:
            try:
                piece = await self._answer.content.readany()
                events = self._events.feed(piece)
            except NETWORK_ERRORS as error:
                raise LinkEnded(f"the event stream broke ({describe(error)})") from error
            except EventTooLarge as error:
                raise LinkEnded(str(error)) from error
            if events:
                return b"".join(events)
            if not piece:
                raise LinkEnded("the server ended the event stream", clean=True)

    async def close(self) -> None:
        """See `Link.close`."""
        self._answer.close()

    def abort(self) -> None:
        """See `Link.abort`."""
        self._answer.close()


async def open_events(
    http: HubHttp, connection_token: str, *, binary: bool, max_message_bytes: int
) -> EventsLink:
    """Begin the event stream.

    Raises:
        HttpRefused: the server answered something else than an event stream.
        aiohttp.ClientError, TimeoutError, OSError: there was no answer, or none that is HTTP.
    """
    async with contextlib.AsyncExitStack() as undo:
        async with asyncio.timeout(http.timeout.total):
            answer = await http.session.get(
                http.address(id=connection_token),
                headers=http.headers(Accept="text/event-stream"),
                timeout=aiohttp.ClientTimeout(total=None),
                middlewares=only_once(http.session),
            )
        undo.callback(answer.close)
        if answer.status != 200 or answer.content_type != "text/event-stream":
            raise HttpRefused("the event stream", answer.status)
        undo.pop_all()
    return EventsLink(answer, Poster(http, connection_token, binary=binary), max_message_bytes)
