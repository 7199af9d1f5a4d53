"""The hub that is measured: `python -m benchmarks.hub.server PORT EVERY [numbered] [transport.write]`.

An EVERY of 0 publishes without a pause, but for what the event loop has to do between two messages.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import uvloop
from benchmarks.hub import feed
from benchmarks.hub.peers import tick

from stakewire.clock import SystemClock
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.signalr import Hub, HubOptions, HubServer
from stakewire.net.signalr.sending import DIRECT, WRITING
from stakewire.net.signalr.topics import StateTopic
from stakewire.net.sockets import bind

CONNECTIONS = 15_000
SENDERS = {sender.name: sender for sender in (DIRECT, WRITING)}


class Games(Hub):
    """One topic, as of the games feed."""

    def __init__(self, topic: StateTopic) -> None:
        self._topic = topic

    async def subscribe(self) -> None:
        self._topic.subscribe(self.context.connection)


async def no_app(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("only the hub is served")


async def serve(port: int, every: float, words: set[str]) -> None:
    hub = HubServer(
        Games,
        options=HubOptions(max_connections=CONNECTIONS),
        provide=lambda _: Games(topic),
        sender=next((SENDERS[word] for word in words if word in SENDERS), None),
    )
    topic = hub.topic(feed.TARGET, numbered="sId" if "numbered" in words else None)
    server = HttpServer(
        app=no_app,
        find_hot=lambda method, path: None,
        find_direct=hub.find_direct,
        limits=HttpLimits(connections=CONNECTIONS),
        trusted_proxies=(),
        clock=SystemClock(),
    )
    await server.start(bind("127.0.0.1", port)[0])
    await hub.start()
    gc.freeze()
    await tick(every, lambda version: topic.publish(feed.state(version)))


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]), set(sys.argv[3:])))
