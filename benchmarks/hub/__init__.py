"""Measurements of the SignalR hub against other servers: one message to many subscribers."""
