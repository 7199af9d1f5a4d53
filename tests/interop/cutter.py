"""A TCP proxy that cuts the connections that it carries, when told to, with a reset and in mid-message."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

LINE = re.compile(rb"[?&]line=([^&\s]+)")


@dataclass(eq=False)
class Line:
    """One WebSocket through the proxy; `left` bytes of both directions still pass, None for all."""

    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    left: int | None = None

    def passes(self, data: bytes) -> bytes:
        """The part of `data` that still passes."""
        if self.left is None:
            return data
        data = data[: self.left]
        self.left -= len(data)
        return data

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()


@dataclass
class Cutter:
    """Forwards to `port`. A line is named by `?line=` in its address, and live once its client has spoken."""

    port: int
    _live: dict[bytes, Line] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def cut(self, name: bytes, after: int) -> None:
        """Cut the line that is live, or will be, after so many bytes more in either direction."""
        async with self._changed:
            await self._changed.wait_for(lambda: name in self._live)
            line = self._live[name]
        line.left = after
        if after == 0:
            line.cut()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end: the callback of `asyncio.start_server`."""
        upstream, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        line = Line((writer, to_server))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            to_server.write(head)
            named = LINE.search(head) if b"upgrade: websocket" in head.lower() else None
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, to_server, line, named.group(1) if named else None))
                both.create_task(self._pump(upstream, writer, line, None))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one end is gone, so the other goes too
        finally:
            line.cut()
            for name in [name for name, each in self._live.items() if each is line]:
                del self._live[name]

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line, name: bytes | None
    ) -> None:
        while data := await reader.read(65536):
            writer.write(line.passes(data))
            if name is not None:
                async with self._changed:
                    self._live[name] = line
                    self._changed.notify_all()
                name = None
            await writer.drain()
            if line.left == 0:
                break
        raise ConnectionResetError
