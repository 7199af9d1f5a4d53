"""What may be chosen about a connection, with the values of the stock clients where they have one."""

from __future__ import annotations

from dataclasses import dataclass

from stakewire.client.signalr.reconnect import ReconnectSchedule, Schedule
from stakewire.errors import ConfigError
from stakewire.wire.signalr.negotiate import Transport
from stakewire.wire.signalr.protocol import PROTOCOLS

ALL_TRANSPORTS = frozenset(Transport)
_RECONNECT = ReconnectSchedule()
_RESUME = ReconnectSchedule(waits=(0.0, 0.1, 0.3, 0.6, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """All times in seconds, all sizes in bytes unless the name says otherwise.

    Attributes:
        protocol: `json` or `messagepack`.
        transports: those that may be used; the server's order decides, and the next is tried when one fails.
        skip_negotiation: open a WebSocket at once; `connection_id` is then None, and nothing can be resumed.
        stateful_reconnect: ask the server to keep what was sent until it has arrived, so that a cut goes
            unnoticed (WebSockets only; without effect where the server does not allow it).
        compression: offer `permessage-deflate` on WebSockets.
        token_in_query: send the token as `access_token` in the URL, for servers that read no header.
        keep_alive_seconds: a ping is sent when nothing else was for so long.
        server_timeout_seconds: the connection counts as dead when nothing arrived for so long.
        handshake_seconds: for the answer to the handshake.
        connect_seconds: for one HTTP request or WebSocket upgrade while connecting.
        poll_seconds: for one long poll; a server answers an idle one after 90.
        close_seconds: for the last message and the closing of the transport in `stop`.
        resume_seconds: how long a cut transport is tried again before a new connection is made.
        resume: waits before each of those attempts.
        reconnect: waits before each new connection after one was lost.
        retry_start: `start`, too, waits for a server that is away, by the same schedule.
        stable_seconds: a connection that lived for so long starts the schedule anew.
        max_message_bytes: of one arriving hub message; a larger one ends the connection.
        max_unsent_bytes: written and not yet taken by the socket; above it, calls wait.
        max_unacknowledged_bytes: kept for stateful reconnect; above it, calls wait.
        max_pending_calls: invocations and streams that wait for the server.
        max_queued: messages waiting for one handler, and items waiting in one stream. When a queue is full
            nothing more is read, which the server feels as back-pressure.
        stall_seconds: how long that may last. Then a stream fails with SlowConsumer and is cancelled; for a
            handler the connection is dropped and made anew, so that nothing is lost without notice.
        max_redirects: of negotiation.
    """

    protocol: str = "json"
    transports: frozenset[Transport] = ALL_TRANSPORTS
    skip_negotiation: bool = False
    stateful_reconnect: bool = False
    compression: bool = False
    token_in_query: bool = False
    keep_alive_seconds: float = 15.0
    server_timeout_seconds: float = 30.0
    handshake_seconds: float = 15.0
    connect_seconds: float = 15.0
    poll_seconds: float = 100.0
    close_seconds: float = 5.0
    resume_seconds: float = 10.0
    resume: Schedule = _RESUME
    reconnect: Schedule = _RECONNECT
    retry_start: bool = False
    stable_seconds: float = 5.0
    max_message_bytes: int = 16 * 1024 * 1024
    max_unsent_bytes: int = 256 * 1024
    max_unacknowledged_bytes: int = 100_000
    max_pending_calls: int = 10_000
    max_queued: int = 1_000
    stall_seconds: float = 10.0
    max_redirects: int = 100

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ConfigError(f"protocol is one of {', '.join(PROTOCOLS)}, not {self.protocol!r}")
        if not self.transports:
            raise ConfigError("at least one transport must be allowed")
        if self.skip_negotiation and self.transports != {Transport.WEB_SOCKETS}:
            raise ConfigError("skip_negotiation needs transports=frozenset({Transport.WEB_SOCKETS})")
        if self.skip_negotiation and self.stateful_reconnect:
            raise ConfigError("stateful reconnect is agreed on in negotiation, which skip_negotiation skips")
