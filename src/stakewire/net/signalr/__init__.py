"""A SignalR server: hubs as classes, for the stock clients (ASP.NET Core SignalR).

hub.py        what the author of a hub writes with
methods.py    a hub class as values
dispatch.py   from messages to methods and back; session.py what goes on for a connection, invoker.py and
              calls.py one call, streams.py streams both ways, filters.py code around calls
clients.py    whom to send to; groups.py who is connected and in which groups; post.py carries it
topics.py     one message to many, as the same bytes; fanout.py and sending/ write it
endpoint.py   the routes over HTTP; negotiate.py, auth.py, cors.py, connection.py, links/ the transports
exchange.py   several processes as one hub, over a backplane.py
server.py     all of it as one object
describe/     AsyncAPI, TypeScript and a Python client from the same hub class
"""

from __future__ import annotations

from stakewire.net.signalr.auth import Authenticate, JwtAuthenticator, Principal, anonymous
from stakewire.net.signalr.clients import CallerClients, Clients, InvokeFailed, Receiver, Receivers
from stakewire.net.signalr.connection import HubConnection
from stakewire.net.signalr.filters import Filter, HubFilter, InvocationContext, Next
from stakewire.net.signalr.groups import Groups
from stakewire.net.signalr.hub import Hub, HubContext, HubError, Policy, Stream, authorize, method, signed_in
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.request import HubRequest
from stakewire.net.signalr.server import HubServer
from stakewire.net.signalr.streams import StreamFailed
from stakewire.net.signalr.topics import EventTopic, StateTopic

__all__ = [
    "Hub",
    "HubServer",
    "HubOptions",
    "HubContext",
    "HubError",
    "HubFilter",
    "HubConnection",
    "HubRequest",
    "Authenticate",
    "CallerClients",
    "Clients",
    "EventTopic",
    "Filter",
    "Groups",
    "InvocationContext",
    "InvokeFailed",
    "JwtAuthenticator",
    "Next",
    "Policy",
    "Principal",
    "Receiver",
    "Receivers",
    "StateTopic",
    "Stream",
    "StreamFailed",
    "anonymous",
    "authorize",
    "method",
    "signed_in",
]
