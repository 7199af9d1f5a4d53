"""Long polling: each GET waits for what comes next, POST sends, DELETE ends."""

from __future__ import annotations

import asyncio

import aiohttp

from stakewire.client.signalr.links.base import HttpRefused, LinkEnded
from stakewire.client.signalr.links.http import NETWORK_ERRORS, HubHttp, Poster, describe, only_once

_ENDED = 204


class PollingLink:
    """See `Link`."""

    inherent_keep_alive = True
    duplex = False

    def __init__(self, http: HubHttp, connection_token: str, *, binary: bool, poll_seconds: float) -> None:
        self._http = http
        self._id = connection_token
        self._poster = Poster(http, connection_token, binary=binary)
        self._poll_timeout = aiohttp.ClientTimeout(total=poll_seconds)
        self._answer: aiohttp.ClientResponse | None = None
        self._over = False

    async def begin(self) -> None:
        """The first poll, which is answered at once: it only starts the connection."""
        async with self._http.session.get(
            self._http.address(id=self._id),
            headers=self._http.headers(),
            timeout=self._http.timeout,
            middlewares=only_once(self._http.session),
        ) as answer:
            if answer.status != 200:
                raise HttpRefused("the first poll", answer.status)

    async def send(self, data: bytes) -> None:
        """See `Link.send`."""
        await self._poster.post(data)

    async def receive(self) -> bytes:
        """See `Link.receive`; a long answer is given out in pieces, as it arrives."""
        while True:
            try:
                if self._answer is None:
                    self._answer = await self._poll()
                if piece := await self._answer.content.readany():
                    return piece
            except NETWORK_ERRORS as error:
                raise LinkEnded(f"polling failed ({describe(error)})") from error
            self._answer.release()
            self._answer = None

    async def _poll(self) -> aiohttp.ClientResponse:
        answer = await self._get()
        if answer.status == 401:
            answer.release()
            await self._http.token.renew()
            answer = await self._get()
        if answer.status == 200:
            return answer
        answer.release()
        if answer.status == _ENDED:
            self._over = True
            raise LinkEnded("the server ended the connection", clean=True)
        raise LinkEnded(str(HttpRefused("polling", answer.status)))

    async def _get(self) -> aiohttp.ClientResponse:
        while True:
            try:
                return await self._http.session.get(
                    self._http.address(id=self._id),
                    headers=self._http.headers(),
                    timeout=self._poll_timeout,
                    middlewares=only_once(self._http.session),
                )
            except TimeoutError:
                continue  # an idle poll that a proxy or the server forgot: the next one

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    async def close(self) -> None:
        """See `Link.close`."""
        self._drop()
        if not self._over:
            self._over = True
            await self._http.end(self._id)

    def abort(self) -> None:
        """See `Link.abort`: without further polls the server forgets the connection."""
        self._drop()
        self._over = True


async def open_polling(
    http: HubHttp, connection_token: str, *, binary: bool, poll_seconds: float
) -> PollingLink:
    """Begin to poll.

    Raises:
        HttpRefused: the server does not know or want this.
        aiohttp.ClientError, TimeoutError, OSError: there was no answer, or none that is HTTP.
    """
    link = PollingLink(http, connection_token, binary=binary, poll_seconds=poll_seconds)
    async with asyncio.timeout(http.timeout.total):
        await link.begin()
    return link
