"""A Unix socket between a client and PostgreSQL that loses connections at the worst moments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_SOCKET = ".s.PGSQL.5432"


class Cut(Enum):
    """Where the connection is lost, seen from the statement that the client sends next."""

    BEFORE = "the statement never reaches the server"
    AFTER = "the server has carried it out, and its answer is lost"
    BETWEEN = "the server has the statement, and nobody waits for its answer"


class CutProxy:
    """Passes bytes on; `arm` says that a connection is lost at the client's `nth` next sending."""

    def __init__(self, server: Path, folder: Path, database: str) -> None:
        self._server = server
        self.dsn = f"postgresql://postgres@/{database}?host={folder}"
        self._cut: Cut | None = None
        self._sendings = 0
        self.cuts = 0

    def arm(self, cut: Cut, nth: int = 1) -> None:
        """Lose the connection once."""
        self._cut, self._sendings = cut, nth

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client connection, until either side leaves or it is cut."""
        up_reader, up_writer = await asyncio.open_unix_connection(str(self._server))
        answers = asyncio.ensure_future(self._pass_answers(up_reader, writer))
        try:
            while data := await reader.read(1 << 16):
                cut = self._due()
                if cut is Cut.BEFORE:
                    break
                up_writer.write(data)
                await up_writer.drain()
                if cut is Cut.BETWEEN:
                    break
                if cut is Cut.AFTER:
                    answers.cancel()
                    await self._swallow_answer(up_reader, reader, up_writer)
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            answers.cancel()
            for each in (writer, up_writer):
                each.close()

    def _due(self) -> Cut | None:
        if self._cut is None:
            return None
        self._sendings -= 1
        if self._sendings > 0:
            return None
        cut, self._cut = self._cut, None
        self.cuts += 1
        return cut

    @staticmethod
    async def _pass_answers(up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await up_reader.read(1 << 16):
            writer.write(data)
        writer.close()

    @staticmethod
    async def _swallow_answer(
        up_reader: asyncio.StreamReader, reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter
    ) -> None:
        """Until the server says that it is ready for the next query, idle: then everything is committed."""
        seen = b""
        while not seen.endswith(b"Z\x00\x00\x00\x05I"):
            answer = asyncio.ensure_future(up_reader.read(1 << 16))
            more = asyncio.ensure_future(reader.read(1 << 16))
            done, _ = await asyncio.wait({answer, more}, return_when=asyncio.FIRST_COMPLETED)
            if more in done:  # a long statement comes in several pieces
                up_writer.write(more.result())
            else:
                more.cancel()
            seen += await answer


@asynccontextmanager
async def cut_proxy(dsn: str, folder: Path) -> AsyncIterator[CutProxy]:
    """A proxy before the database of `dsn`, whose own address is `proxy.dsn`."""
    parts = urlsplit(dsn)
    server = Path(parse_qs(parts.query)["host"][0]) / _SOCKET
    proxy = CutProxy(server, folder, parts.path.lstrip("/"))
    listener = await asyncio.start_unix_server(proxy.serve, str(folder / _SOCKET))
    try:
        yield proxy
    finally:
        listener.close()
