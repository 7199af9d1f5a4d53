"""WebSocket without a socket: frames (RFC 6455), the upgrade, per-message deflate (RFC 7692)."""
