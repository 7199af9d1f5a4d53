"""The same client for code without an event loop: it runs one of its own in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from stakewire.client.sportsbook import DEFAULT_TIMEOUT, SportsbookClient

Result = TypeVar("Result")


class SportsbookClientSync:
    """`SportsbookClient` with blocking methods; may be shared by threads. Close it, or use `with`."""

    def __init__(
        self,
        api_url: str,
        username: str,
        password: str,
        *,
        api_version: str = "v1",
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """See `SportsbookClient`."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stakewire client", daemon=True)
        self._thread.start()
        self._client = self._wait(_made(api_url, username, password, api_version, timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start_session(self, user_id: str, currency: str, *, lang: str | None = None) -> str:
        """See `SportsbookClient.start_session`."""
        return self._wait(self._client.start_session(user_id, currency, lang=lang))

    def authenticate(self) -> int:
        """See `SportsbookClient.authenticate`."""
        return self._wait(self._client.authenticate())

    def close(self) -> None:
        """Close the connections and end the thread; a second call does nothing."""
        if self._loop.is_closed():
            return
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("this client is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _made(
    api_url: str, username: str, password: str, api_version: str, timeout: float
) -> SportsbookClient:
    return SportsbookClient(api_url, username, password, api_version=api_version, timeout=timeout)
