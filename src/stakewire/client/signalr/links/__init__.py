"""The transports under a session: WebSocket, server-sent events with POST, long polling with POST."""
