"""The three transports of a hub, each behind the same `Link`.

link.py       what a connection needs of a transport, and is told by it
websocket.py  a WebSocket: both directions
sse.py        server-sent events, with POSTs as the way up
polling.py    long polls, with POSTs as the way up
"""
