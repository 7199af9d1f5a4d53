"""What the HTTP server shows of itself: open connections by kind, refusals by reason.

Nothing is counted per request: the server brings these up to date once a second, in its sweep.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

KINDS = ("http", "taken_over")


class HttpMetrics:
    """The numbers of all listeners of one process together, on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Gauge(
            "stakewire_http_connections",
            "Open connections: that speak HTTP, or were taken over by WebSockets and event streams of a hub.",
            ("kind",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._refused = Counter(
            "stakewire_http_refused",
            "Requests and connections refused, by the code that docs/reference/http.md explains.",
            ("reason",),
            registry=registry,
        )
        for kind in KINDS:
            self._connections.labels(kind).set(0)

    def listener(self) -> ListenerMetrics:
        """The share of one listener; several add up."""
        return ListenerMetrics(self._connections, self._refused)


class ListenerMetrics:
    """What one listener adds to the numbers of its process."""

    def __init__(self, connections: Gauge, refused: Counter) -> None:
        self._connections = connections
        self._refused = refused
        self._open = dict.fromkeys(KINDS, 0)
        self._told: dict[str, int] = {}

    def update(self, *, http: int, taken_over: int, refused: Mapping[str, int]) -> None:
        """Take the present numbers; `refused` counts from the listener's start."""
        for kind, number in zip(KINDS, (http, taken_over), strict=True):
            if number != self._open[kind]:
                self._connections.labels(kind).inc(number - self._open[kind])
                self._open[kind] = number
        for reason, number in refused.items():
            told = self._told.get(reason, 0)
            if number != told:
                self._refused.labels(reason).inc(number - told)
                self._told[reason] = number
