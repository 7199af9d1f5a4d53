"""A hub's Prometheus metrics: connections, messages, bytes, what waits for how long, and why clients go.

The hub counts in plain numbers (`counts.py`); they are taken over every few seconds, and before each scrape
by whoever answers it.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from math import inf
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from stakewire.net.signalr.counts import CloseReason
from stakewire.net.signalr.options import TRANSPORTS

if TYPE_CHECKING:
    from stakewire.net.signalr.server import HubServer

UPDATE_SECONDS: Final = 5.0
"""How often the numbers are taken over where nobody asks: the files of several workers have to be fresh."""


class HubMetrics:
    """What hubs export, on one registry; each hub has its path as the label `hub`.

    In several workers of one command Prometheus' multiprocess mode adds them up.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"stakewire_hub_{name}", text, ("hub", *labels), registry=registry)

        def gauge(name: str, text: str, *labels: str, together: str = "livesum") -> Gauge:
            return Gauge(
                f"stakewire_hub_{name}",
                text,
                ("hub", *labels),
                registry=registry,
                multiprocess_mode=together,  # type: ignore[arg-type]
            )

        self._connections = gauge("connections", "Open connections", "transport")
        self._negotiated = gauge("negotiated", "Connections that were negotiated and not used yet")
        self._subscriptions = gauge("subscriptions", "Connections subscribed to topics, one by one")
        self._sent = counter("messages_sent", "Messages to clients, one per receiver")
        self._sent_bytes = counter("sent_bytes", "Bytes of these, as framed for their transport")
        self._received = counter("messages_received", "Messages of clients, pings included")
        self._received_bytes = counter("received_bytes", "Bytes that these came in")
        self._skips = counter("skips", "States of topics that a reader with unsent bytes was not sent")
        self._slow = gauge("slow_connections", "Connections whose client has unsent bytes waiting")
        self._unsent = gauge("unsent_bytes", "Bytes that wait in this process for clients to take them")
        self._oldest = gauge(
            "unsent_age_seconds", "How long the slowest client has had bytes waiting", together="livemax"
        )
        self._calls = gauge("calls_waiting", "Calls of hub methods that wait for their turn")
        self._waiting = gauge("backplane_waiting", "Messages to other processes that wait for the backplane")
        self._backplane = gauge("backplane_connected", "Processes that reach their backplane")
        self._closes = counter("closes", "Connections that have ended, by reason", "reason")
        self._shown: dict[tuple[Counter, str, str], int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def watch(self, hub: HubServer[Any]) -> None:
        """Take the hub's numbers over now and from now on; `HubServer` calls it at its start."""
        self.update(hub)
        loop = asyncio.get_running_loop()
        self._timers[hub.path] = loop.call_later(UPDATE_SECONDS, self.watch, hub)

    def unwatch(self, hub: HubServer[Any]) -> None:
        """Take them over a last time."""
        timer = self._timers.pop(hub.path, None)
        if timer is not None:
            timer.cancel()
        self.update(hub)

    def update(self, hub: HubServer[Any]) -> None:
        """Take the hub's numbers over; costs about a microsecond for each connection."""
        name, counts = hub.path, hub.counts
        self._add(self._sent, name, "", counts.sent)
        self._add(self._sent_bytes, name, "", counts.sent_bytes)
        self._add(self._received, name, "", counts.received)
        self._add(self._received_bytes, name, "", counts.received_bytes)
        self._add(self._skips, name, "", counts.skipped)
        for reason in CloseReason:
            self._add(self._closes, name, reason, counts.closes[reason])
        self._show_connections(hub)
        self._subscriptions.labels(name).set(sum(len(topic) for topic in hub.topics))
        self._calls.labels(name).set(hub.calls_waiting)
        if hub.backplane is not None:
            self._waiting.labels(name).set(hub.backplane.waiting)
            self._backplane.labels(name).set(hub.backplane.connected)

    def _show_connections(self, hub: HubServer[Any]) -> None:
        name, now = hub.path, hub.clock.monotonic()
        kinds: Tally[str] = Tally()
        slow = unsent = 0
        since = inf
        for connection in hub.endpoint.connections:
            link = connection.link
            if link is None:
                continue
            kinds[link.kind] += 1
            if link.busy:
                slow += 1
                unsent += link.unsent
                since = min(since, connection.busy_since)
        for kind in TRANSPORTS:
            self._connections.labels(name, kind).set(kinds[kind])
        self._negotiated.labels(name).set(hub.endpoint.connections.unclaimed)
        self._slow.labels(name).set(slow)
        self._unsent.labels(name).set(unsent)
        self._oldest.labels(name).set(0.0 if since == inf else max(0.0, now - since))

    def _add(self, counter: Counter, hub: str, label: str, total: int) -> None:
        """Bring a counter up to `total`."""
        key = (counter, hub, label)
        shown = self._shown.get(key, 0)
        self._shown[key] = total
        (counter.labels(hub, label) if label else counter.labels(hub)).inc(total - shown)
