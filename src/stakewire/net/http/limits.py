"""What one HTTP connection may cost us: sizes in bytes, times in seconds, counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Bounds of the HTTP server; `docs/reference/http.md` says what passing each of them answers.

    Sizes are bytes, times are seconds. Times are judged by a sweep over the connections, not
    by a timer each, so that a limit may be overstepped by a quarter of itself, one second at most.

    `taken_over_send_bytes` bounds what the kernel keeps for a client that another protocol serves (it allows
    itself twice as much); such a client may stop reading for good, and there may be thousands.
    """

    target_bytes: int = 8 * 1024
    header_bytes: int = 16 * 1024
    header_fields: int = 100
    hot_body_bytes: int = 64 * 1024
    direct_body_bytes: int = 128 * 1024
    app_body_bytes: int = 1024 * 1024
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    idle_seconds: float = 75.0
    write_stall_seconds: float = 30.0
    answer_seconds: float = 30.0
    linger_seconds: float = 2.0
    connections: int = 10_000
    pipelined: int = 32
    body_buffer_bytes: int = 64 * 1024
    write_buffer_bytes: int = 256 * 1024
    taken_over_send_bytes: int = 48 * 1024

    def sweep_seconds(self) -> float:
        """How often the server looks for connections whose time is over."""
        shortest = min(
            self.header_seconds,
            self.body_seconds,
            self.idle_seconds,
            self.write_stall_seconds,
            self.answer_seconds,
            self.linger_seconds,
        )
        return min(1.0, max(0.005, shortest / 4))
