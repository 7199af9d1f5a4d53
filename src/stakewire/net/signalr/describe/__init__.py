"""What a hub offers, told to others: from the same method descriptions that the dispatcher calls by.

asyncapi.py    an AsyncAPI 3.0 document
typescript.py  a typed class over `@microsoft/signalr`
python.py      a typed class over `stakewire.client.signalr`
types.py       the types that all methods speak of, under the names they get
"""

from __future__ import annotations

from stakewire.net.signalr.describe.asyncapi import asyncapi
from stakewire.net.signalr.describe.python import python_client
from stakewire.net.signalr.describe.typescript import typescript

__all__ = ["asyncapi", "python_client", "typescript"]
