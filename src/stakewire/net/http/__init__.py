"""Our HTTP/1.1 server: `HttpServer`, its limits, and what handlers of hot routes are given.

limits.py      what a connection may cost
request.py     one request, and the rules of its header
reader.py      bytes in, requests out (no socket)
response.py    answers as bytes
incoming.py    what arrives on a connection: slices, backpressure, deadlines
connection.py  order of answers, taking over, closing
hot.py         a request handled by one function call
direct.py      a request handled without an app: answered later, or by another protocol
takeover.py    what such a protocol has to be
asgi.py        a request handled by an ASGI app
lifespan.py    the app's start and end
metrics.py     open connections and refusals, for Prometheus
server.py      listening, sweeping, stopping
"""

from __future__ import annotations

from stakewire.net.http.direct import DirectExchange
from stakewire.net.http.limits import HttpLimits
from stakewire.net.http.metrics import HttpMetrics
from stakewire.net.http.request import Request
from stakewire.net.http.response import error_body
from stakewire.net.http.server import HttpServer
from stakewire.net.http.shared import (
    AsgiApp,
    DirectHandler,
    FindDirect,
    FindHot,
    HotHandler,
    Message,
    Receive,
    Respond,
    Scope,
    Send,
)
from stakewire.net.http.takeover import TakenOver

HotRequest = Request
"""The name under which handlers of hot routes know a request; its body is complete."""

__all__ = [
    "AsgiApp",
    "DirectExchange",
    "DirectHandler",
    "FindDirect",
    "FindHot",
    "HotHandler",
    "HotRequest",
    "HttpLimits",
    "HttpMetrics",
    "HttpServer",
    "Message",
    "Receive",
    "Request",
    "Respond",
    "Scope",
    "Send",
    "TakenOver",
    "error_body",
]
