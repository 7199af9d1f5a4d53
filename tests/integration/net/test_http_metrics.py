"""The server's own metrics: connections by kind, refusals by reason."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from stakewire.net.http import DirectExchange, HttpLimits, HttpMetrics, Request, TakenOver

HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
UPGRADE = b"GET /direct HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


async def test_connections_and_refusals_are_shown(serve: Any, post: Any, until: Any) -> None:
    """Listeners of one process add up; a connection that ends is no longer counted."""
    registry = CollectorRegistry()
    metrics = HttpMetrics(registry)

    def connections(kind: str) -> float | None:
        return registry.get_sample_value("stakewire_http_connections", {"kind": kind})

    def refused(reason: str) -> float | None:
        return registry.get_sample_value("stakewire_http_refused_total", {"reason": reason})

    def direct(request: Request, exchange: DirectExchange) -> None:
        exchange.take_over(TakenOver(), HEAD)

    assert (connections("http"), connections("taken_over")) == (0, 0)
    public = await serve(direct=direct, metrics=metrics)
    admin = await serve(metrics=metrics, limits=HttpLimits(connections=1))
    idle, upgraded, other = await public.connect(), await public.connect(), await admin.connect()
    await idle.send(post("/hot", b"x"))
    await idle.answer()
    await upgraded.send(UPGRADE)
    await upgraded.answer()
    await other.send(post("/hot", b"x"))
    await other.answer()
    one_too_many = await admin.connect()
    assert (await one_too_many.answer()).status == 503
    one_too_many.close()
    await until(lambda: admin.server.open_connections == 1)
    for _ in range(2):
        assert (await public.ask(b"rubbish\r\n\r\n")).status == 400
    for client in public.clients[2:]:
        client.close()
    await until(lambda: public.server.open_connections == 2)
    public.server.sweep()
    admin.server.sweep()
    assert (connections("http"), connections("taken_over")) == (2, 1)
    assert (refused("BAD_REQUEST"), refused("TOO_MANY_CONNECTIONS")) == (2, 1)
    upgraded.close()
    await until(lambda: public.server.open_connections == 1)
    await admin.server.stop(1.0)
    public.server.sweep()
    assert (connections("http"), connections("taken_over")) == (1, 0)
