"""What one hub allows and how long it waits: sizes in bytes, times in seconds, counts."""

from __future__ import annotations

from dataclasses import dataclass

from stakewire.errors import ConfigError

WEB_SOCKETS = "WebSockets"
SERVER_SENT_EVENTS = "ServerSentEvents"
LONG_POLLING = "LongPolling"
TRANSPORTS = (WEB_SOCKETS, SERVER_SENT_EVENTS, LONG_POLLING)
"""Names of the transports as negotiation spells them, in the order in which clients try them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOptions:
    """Bounds and habits of one hub; the times are ASP.NET Core's defaults unless the text says otherwise.

    Times are judged by one sweep a second over all connections, so that each may be overstepped by a second.

    Attributes:
        transports: offered by negotiation, in this order; the others answer 404.
        protocols: hub protocols that a handshake may name.
        keep_alive_seconds: a ping is sent when nothing else was for so long.
        client_timeout_seconds: a client that has pinged once and is then silent for so long is dead.
        handshake_seconds: from the transport's start to the complete handshake.
        disconnect_seconds: a connection without a transport is kept so long: negotiated and not used yet,
            between two polls, or waiting for its client's stateful reconnect.
        poll_seconds: a long poll without news is answered empty after so long.
        send_stall_seconds: a client whose transport holds unsent bytes for so long is closed.
        close_seconds: how long a closing connection may take to send what it still has to.
        max_message_bytes: of one incoming hub message; the handshake included.
        max_batch_bytes: of one WebSocket message or POST, either of which may hold many hub messages.
        max_unsent_bytes: of outgoing bytes that wait here for a client to take them; beyond, it is closed.
            The kernel keeps up to 96 KiB besides (`HttpLimits.taken_over_send_bytes`).
        max_connections: open and negotiated ones together; beyond, 503.
        max_negotiated: negotiated ones that no transport has claimed yet; beyond, the oldest is forgotten.
        max_waiting_posts: POSTs of one connection that wait for their turn; beyond, 429.
        max_parallel_invocations: of one client; the others wait for their turn, streams do not count.
        max_waiting_invocations: of one client; from then on reading from it is held until its turn comes.
        max_streams: of one client at the same time, in both directions; one more is refused.
        max_groups: that one connection can be in.
        max_client_results: calls of one client's methods that may wait for their results.
        client_result_seconds: a client that was asked for a result must answer in, unless the call says.
        stateful_reconnect: connections survive the loss of their WebSocket if the client asks for it.
        stateful_buffer_bytes: of sent messages kept until the client acknowledges them.
        detailed_errors: texts of exceptions reach the client; for development only.
        close_at_token_expiry: a connection ends, with allowReconnect, when its token does.
        allowed_origins: browsers' origins ("https://example.com") that may use the hub from other sites;
            None allows every one. A request without `Origin` is no browser's, and passes.
        compression: permessage-deflate is accepted where a client offers it.
    """

    transports: tuple[str, ...] = TRANSPORTS
    protocols: tuple[str, ...] = ("json", "messagepack")
    keep_alive_seconds: float = 15.0
    client_timeout_seconds: float = 30.0
    handshake_seconds: float = 15.0
    disconnect_seconds: float = 15.0
    poll_seconds: float = 90.0
    send_stall_seconds: float = 10.0
    close_seconds: float = 5.0
    max_message_bytes: int = 32 * 1024
    max_batch_bytes: int = 128 * 1024
    max_unsent_bytes: int = 128 * 1024
    max_connections: int = 20_000
    max_negotiated: int = 16_384
    max_waiting_posts: int = 16
    max_parallel_invocations: int = 1
    max_waiting_invocations: int = 64
    max_streams: int = 100
    max_groups: int = 1_000
    max_client_results: int = 100
    client_result_seconds: float = 30.0
    stateful_reconnect: bool = False
    stateful_buffer_bytes: int = 100_000
    detailed_errors: bool = False
    close_at_token_expiry: bool = True
    allowed_origins: frozenset[str] | None = frozenset()
    compression: bool = True

    def __post_init__(self) -> None:
        unknown = [name for name in self.transports if name not in TRANSPORTS]
        if unknown or not self.transports:
            raise ConfigError(f"transports are some of {', '.join(TRANSPORTS)}, not {unknown or 'none'}")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} of a hub must be more than 0")
        if self.allowed_origins is not None and "*" in self.allowed_origins:
            raise ConfigError("to allow every origin set allowed_origins to None; '*' is no origin")


_POSITIVE = (
    *("keep_alive_seconds", "client_timeout_seconds", "handshake_seconds", "disconnect_seconds"),
    *("poll_seconds", "send_stall_seconds", "close_seconds"),
    *("max_message_bytes", "max_batch_bytes", "max_unsent_bytes", "max_connections", "max_negotiated"),
    *("max_waiting_posts", "max_parallel_invocations", "stateful_buffer_bytes"),
    *("max_waiting_invocations", "max_streams", "max_groups", "max_client_results", "client_result_seconds"),
)
