"""`signalrcore` of PyPI, unmodified, on each of its transports; it lives on threads and callbacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from signalrcore.hub_connection_builder import HubConnectionBuilder
from signalrcore.subject import Subject
from signalrcore.types import HttpTransportType, HubProtocolEncoding
from tests.interop.hub import token_for

Way = tuple[HttpTransportType, HubProtocolEncoding]

WEB_SOCKETS_JSON = (HttpTransportType.web_sockets, HubProtocolEncoding.text)
WEB_SOCKETS_MESSAGEPACK = (HttpTransportType.web_sockets, HubProtocolEncoding.binary)
SSE_JSON = (HttpTransportType.server_sent_events, HubProtocolEncoding.text)
POLLING_JSON = (HttpTransportType.long_polling, HubProtocolEncoding.text)
# What 1.0.2 cannot do with any server: its class for polling with MessagePack cannot be constructed, of each
# answer to a poll it takes one message, and its stream to the server lacks a field in MessagePack.
CALLS = [WEB_SOCKETS_JSON, WEB_SOCKETS_MESSAGEPACK, SSE_JSON, POLLING_JSON]
MESSAGES = [WEB_SOCKETS_JSON, WEB_SOCKETS_MESSAGEPACK, SSE_JSON]
UPLOADS = [WEB_SOCKETS_JSON, SSE_JSON, POLLING_JSON]
SECONDS = 10


def way_name(way: Way) -> str:
    transport, encoding = way
    return f"{transport.value} {encoding.value}"


class Caller:
    """Waits for what the client gives to callbacks."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._error: Future[str] = Future()
        connection.on_error(lambda message: self._error.set_result(message.error))

    def invoke(self, method: str, *arguments: Any) -> Any:
        """The result."""
        done: Future[Any] = Future()
        self.connection.invoke(method, list(arguments), lambda message: done.set_result(message.result))
        return done.result(SECONDS)

    def error_of(self, method: str, *arguments: Any) -> str:
        """The text of the error that the call ends with."""
        self._error = Future()
        self.connection.invoke(method, list(arguments), lambda message: None)
        return self._error.result(SECONDS)

    def stream(self, method: str, *arguments: Any) -> list[Any]:
        """All items of a stream."""
        items: list[Any] = []
        done: Future[list[Any]] = Future()
        self.connection.stream(method, list(arguments)).subscribe(
            {"next": items.append, "complete": lambda _: done.set_result(items), "error": done.set_exception}
        )
        return done.result(SECONDS)


@pytest.fixture(scope="module")
def callers(server: dict[str, str]) -> Iterator[dict[Way, Caller]]:
    """One started client a way; each takes a second or two to stop, so they stop at once."""
    with ThreadPoolExecutor(len(CALLS)) as threads:
        started = dict(zip(CALLS, threads.map(lambda way: start(server, way), CALLS), strict=True))
        yield started
        list(threads.map(lambda caller: caller.connection.stop(), started.values()))


def start(server: dict[str, str], way: Way) -> Caller:
    transport, encoding = way
    address = f"{server['base']}/hub?access_token={token_for('signalrcore')}"
    connection = (
        HubConnectionBuilder()
        .with_url(address, options={"verify_ssl": False, "transport": transport})
        .with_hub_protocol(encoding)
        .configure_logging(logging.CRITICAL)
        .build()
    )
    opened: Future[None] = Future()
    connection.on_open(lambda: opened.set_result(None))
    connection.start()
    opened.result(SECONDS)
    return Caller(connection)


@pytest.mark.parametrize("way", CALLS, ids=way_name)
def test_calls_and_their_errors(callers: dict[Way, Caller], way: Way) -> None:
    """Results, void, unknown methods, hidden and visible errors."""
    caller = callers[way]
    assert caller.invoke("Add", 2, 40) == 42
    assert caller.invoke("Echo", {"text": "ü😀"}) == {"text": "ü😀"}
    assert caller.invoke("Nothing") is None
    assert caller.invoke("Who") == "signalrcore"
    assert "Unknown hub method 'NoSuch'" in caller.error_of("NoSuch")
    assert "secret" not in caller.error_of("Fail")
    assert "not on a Sunday" in caller.error_of("Refuse", "not on a Sunday")


@pytest.mark.parametrize("way", MESSAGES, ids=way_name)
def test_a_stream_and_a_message_of_the_server(callers: dict[Way, Caller], way: Way) -> None:
    """All items in order, and a call of a method of the client."""
    caller = callers[way]
    assert caller.stream("Paced", 10, 10) == list(range(10))
    heard: Future[Any] = Future()
    caller.connection.on("Receive", heard.set_result)
    caller.invoke("TellCaller", "hello")
    assert heard.result(SECONDS) == ["hello"]


@pytest.mark.parametrize("way", UPLOADS, ids=way_name)
def test_a_stream_of_the_client(callers: dict[Way, Caller], way: Way) -> None:
    """It reaches its method."""
    caller = callers[way]
    subject = Subject()
    caller.connection.invoke("Collect", subject)
    for number in range(5):
        subject.next(number)
    subject.complete()
    while (collected := caller.invoke("Collected")) != list(range(5)):
        assert collected is None
