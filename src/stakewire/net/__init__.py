"""The only sockets of the project: HTTP server, callback client, egress guard, and what surrounds them."""
