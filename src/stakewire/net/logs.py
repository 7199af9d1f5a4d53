"""Structured logs: JSON lines, or readable ones on a terminal; secrets blotted out; never in the way.

Log lines go through a bounded queue to a thread of their own: a blocked pipe or a full disk loses lines
(and counts them), but does not hold up a bet.
"""

from __future__ import annotations

import atexit
import logging
import queue
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

REDACTED = "[redacted]"
_SECRET_KEY = re.compile(
    r"pass(word|wd)?|secret|token|authorization|cookie|security.?hash|securty.?hash|signature"
    r"|api.?key|master.?key|private.?key|credential",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
_DEPTH = 6


def configure(*, level: str = "info", json: bool | None = None, stream: TextIO | None = None) -> LogWriter:
    """Send everything that is logged, by structlog or by `logging`, to `stream` (stderr).

    `json` chooses JSON lines; None means JSON unless the stream is a terminal. Returns the writer,
    whose `close` writes out what is left; that also happens when the process ends.
    """
    target = sys.stderr if stream is None else stream
    writer = LogWriter(target)
    as_json = not target.isatty() if json is None else json
    number = logging.getLevelNamesMapping()[level.upper()]
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=repr)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=target.isatty())
    )
    structlog.configure(
        processors=[*common, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.WriteLogger(writer),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common[:-1], structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    return writer


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: values under secret-looking names, and secrets inside texts, are blotted out."""
    for key, value in event.items():
        event[key] = _clean(key, value, _DEPTH)
    return event


def _clean(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if _SECRET_KEY.search(key):
        return REDACTED
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return _BEARER.sub(rf"\1 {REDACTED}", _USERINFO.sub(rf"\1{REDACTED}@", value))
    if depth and isinstance(value, Mapping):
        return {str(name): _clean(str(name), item, depth - 1) for name, item in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [_clean(key, item, depth - 1) for item in value]
    return value


class LogWriter:
    """A text stream that never blocks its writer; lines over `max_waiting` are dropped and counted.

    Attributes:
        dropped: lines lost so far, because the sink was slower than the log or broken.
    """

    def __init__(self, target: TextIO, *, max_waiting: int = 10_000) -> None:
        self.dropped = 0
        self._target = target
        self._lines: queue.Queue[str | None] = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, text: str) -> int:
        """Queue `text`; drop it if the queue is full."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Nothing: the thread flushes when it has caught up."""

    def close(self, within_seconds: float = 1.0) -> None:
        """Write out what waits, as far as the sink takes it in time."""
        if self._thread.is_alive():
            try:
                self._lines.put(None, timeout=within_seconds)
            except queue.Full:
                return
            self._thread.join(within_seconds)
        atexit.unregister(self.close)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._target.write(line)
                if self._lines.empty():
                    self._target.flush()
            except (OSError, ValueError):
                self.dropped += 1
