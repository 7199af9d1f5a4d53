"""Logs: structured, without secrets, never in the way."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from stakewire.net.logs import LogWriter, configure


@pytest.fixture
def lines() -> Iterator[Any]:
    """Configures JSON logs into memory; gives a function that returns the lines so far."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    writer = configure(stream=stream, level="info")

    def read() -> list[dict[str, Any]]:
        writer.close()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_one_json_line_per_event_whoever_logs(lines: Any) -> None:
    """structlog and the standard library's logging give the same shape; debug is below the level."""
    structlog.get_logger("a").info("bet", player="alice", amount_minor=500)
    structlog.get_logger("a").debug("not shown")
    logging.getLogger("asyncio").warning("slow %s", "callback")
    first, second = lines()
    assert (first["event"], first["player"], first["amount_minor"]) == ("bet", "alice", 500)
    assert first["level"] == "info" and first["timestamp"].endswith("Z")
    assert (second["event"], second["logger"], second["level"]) == ("slow callback", "asyncio", "warning")


def test_secrets_never_reach_the_sink(lines: Any) -> None:
    """Secret-looking names at any depth, passwords in URLs, bearer tokens in texts: blotted out."""
    canary = "c4n4ry-5ecret"
    log = structlog.get_logger()
    log.info(
        "x",
        password=canary,
        security_hash=canary,
        headers={"Authorization": canary, "X-Security-Hash": canary, "deep": [{"api_key": canary}]},
        url=f"postgresql://user:{canary}@host/db",
        note=f"sent Authorization: Bearer {canary}",
        token=canary.encode(),
    )
    logging.getLogger("lib").error("connect to postgresql://user:%s@host failed", canary)
    try:
        raise ValueError(f"https://u:{canary}@h/")
    except ValueError:
        log.exception("failed")
    text = json.dumps(lines())
    assert canary not in text
    assert "postgresql://[redacted]@host/db" in text


def test_blocked_sink_holds_nobody_up() -> None:
    """A sink that takes nothing loses lines, which are counted; writers go on at once."""
    release = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            release.wait()
            return super().write(text)

    sink = Stuck()
    writer = LogWriter(sink, max_waiting=10)
    for number in range(100):
        writer.write(f"{number}\n")
    assert writer.dropped >= 89
    release.set()
    writer.close()
    assert sink.getvalue().startswith("0\n")


def test_broken_sink_is_survived() -> None:
    """A full disk or a closed pipe costs lines, not the process."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    writer = LogWriter(Full())
    writer.write("x\n")
    writer.close()
    assert writer.dropped == 1
