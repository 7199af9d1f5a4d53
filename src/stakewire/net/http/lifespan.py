"""The app's start and end (ASGI lifespan), run by the server around its listening."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from stakewire.errors import ConfigError
from stakewire.net.http.shared import AsgiApp, Message

log = structlog.get_logger("stakewire.net.http")


class Lifespan:
    """Runs the app's lifespan task; an app that knows none is served without."""

    def __init__(self, app: AsgiApp, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._raised: BaseException | None = None

    async def start(self) -> None:
        """Let the app start.

        Raises:
            ConfigError: the app says that it cannot.
        """
        self._task = asyncio.get_running_loop().create_task(self._run())
        answer = await self._ask("lifespan.startup")
        if answer == "lifespan.startup.failed":
            raise ConfigError(f"the application cannot start: {self._reason or 'it does not say why'}")
        if answer is None:
            self._task = None
            log.debug("the application has no lifespan", reason=repr(self._raised))

    async def stop(self) -> None:
        """Let the app end; a failure is logged, since nothing can be done about it any more."""
        if self._task is None or self._task.done():
            return
        if await self._ask("lifespan.shutdown") != "lifespan.shutdown.complete":
            log.error("the application did not end well", reason=self._reason or repr(self._raised))

    _reason = ""

    async def _ask(self, kind: str) -> str | None:
        assert self._task is not None
        await self._to_app.put({"type": kind})
        answer = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            await asyncio.sleep(0)
        if not answer.done():
            answer.cancel()
            return None
        message = answer.result()
        self._reason = str(message.get("message", ""))
        return str(message["type"])

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, self._to_app.get, self._from_app.put)
        except Exception as error:
            self._raised = error
