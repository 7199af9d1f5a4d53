"""A SignalR client: typed, async, comes back by itself.

async with HubConnection("https://example.com/chat", token=fetch_token) as hub:
    hub.on("ReceiveMessage", print, types=(str, str))
    await hub.invoke("SendMessage", "lobby", "hello")
"""

from __future__ import annotations

from stakewire.client.signalr.connection import HubConnection
from stakewire.client.signalr.errors import (
    BadAnswer,
    BadArguments,
    CallTimedOut,
    ConnectionLost,
    Fault,
    HubError,
    NotAuthorized,
    NotConnected,
    NotSupported,
    ServerAway,
    ServerClosed,
    SlowConsumer,
    TooManyCalls,
    WrongState,
)
from stakewire.client.signalr.handlers import Overflow, Registration
from stakewire.client.signalr.lifecycle import State, StateChange
from stakewire.client.signalr.links.http import TokenFactory
from stakewire.client.signalr.options import ClientOptions
from stakewire.client.signalr.reconnect import NO_RECONNECT, ReconnectSchedule, Schedule
from stakewire.client.signalr.subscription import Subscription, SubscriptionState
from stakewire.wire.signalr.negotiate import Transport

__all__ = [
    "HubConnection",
    "ClientOptions",
    "Transport",
    "TokenFactory",
    "State",
    "StateChange",
    "Subscription",
    "SubscriptionState",
    "Registration",
    "Overflow",
    "Schedule",
    "ReconnectSchedule",
    "NO_RECONNECT",
    "Fault",
    "BadAnswer",
    "BadArguments",
    "CallTimedOut",
    "ConnectionLost",
    "HubError",
    "NotAuthorized",
    "NotConnected",
    "NotSupported",
    "ServerAway",
    "ServerClosed",
    "SlowConsumer",
    "TooManyCalls",
    "WrongState",
]
