"""How the client finds and opens a transport: negotiation, redirects, falling back, tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.integration.client.signalr_peers import QUICK, States, serving, through_proxy, until

from stakewire.client.signalr import (
    BadAnswer,
    ClientOptions,
    Fault,
    HubConnection,
    NotAuthorized,
    NotSupported,
    ReconnectSchedule,
    ServerAway,
    State,
    Transport,
)
from stakewire.errors import ConfigError, StakewireError, Unauthorized
from stakewire.net.signalr import HubOptions, HubRequest, Principal

WEBSOCKETS = {"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}
EVENTS = {"transport": "ServerSentEvents", "transferFormats": ["Text"]}
POLLING = {"transport": "LongPolling", "transferFormats": ["Text", "Binary"]}
Reply = web.StreamResponse | dict[str, Any] | int


@dataclass
class Scripted:
    """A server whose answers the test writes; a WebSocket is led through the handshake and then left open."""

    url: str = ""
    negotiations: list[Reply] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    handshake: str = "{}\x1e"
    reaction: str = ""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization") or request.query.get("access_token")
        kind = _kind(request)
        self.asked.append((kind, request.path_qs, token))
        if kind == "negotiate":
            reply = self.negotiations.pop(0) if len(self.negotiations) > 1 else self.negotiations[0]
            if isinstance(reply, web.StreamResponse):
                return reply
            return web.Response(status=reply) if isinstance(reply, int) else web.json_response(reply)
        if kind in self.statuses:
            return web.Response(status=self.statuses[kind])
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_str(self.handshake)
        async for _ in socket:
            await socket.send_str(self.reaction)
        return socket

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.asked]


def _kind(request: web.Request) -> str:
    if request.path.endswith("/negotiate"):
        return "negotiate"
    if request.headers.get("Upgrade"):
        return "WebSockets"
    if request.headers.get("Accept") == "text/event-stream":
        return "ServerSentEvents"
    return "LongPolling"


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    script = Scripted()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hub"
    script.negotiations = [welcome(WEBSOCKETS)]
    yield script
    await runner.cleanup()


def welcome(*transports: Any, **more: Any) -> dict[str, Any]:
    return {
        "negotiateVersion": 1,
        "connectionId": "public",
        "connectionToken": "secret",
        "availableTransports": list(transports),
        **more,
    }


async def test_negotiation_keeps_the_hubs_own_query(scripted: Scripted) -> None:
    """Parameters of the URL go along everywhere; the connection's token is the id, its name is public."""
    async with HubConnection(scripted.url + "?room=a%20b", options=QUICK, headers={"X-Mine": "1"}) as hub:
        assert hub.connection_id == "public"
    assert scripted.asked[0][1] == "/hub/negotiate?room=a+b&negotiateVersion=1"
    assert scripted.asked[1][1] == "/hub?room=a+b&id=secret"


async def test_version_0_is_understood(scripted: Scripted) -> None:
    """Without a connectionToken the id itself is the handle."""
    scripted.negotiations = [{"connectionId": "both", "availableTransports": [WEBSOCKETS]}]
    async with HubConnection(scripted.url, options=QUICK) as hub:
        assert hub.connection_id == "both"
    assert scripted.asked[1][1] == "/hub?id=both"


async def test_redirects_are_followed_with_the_token_they_give(scripted: Scripted) -> None:
    """To another URL and from there on; a reconnect begins at the first URL again."""
    moved = {"url": scripted.url + "/other", "accessToken": "given"}
    scripted.negotiations = [moved, welcome(WEBSOCKETS), moved, welcome(WEBSOCKETS)]
    async with HubConnection(scripted.url, options=QUICK, token=lambda: "mine") as hub:
        assert hub.state is State.CONNECTED
    assert [(path.partition("?")[0], token) for _, path, token in scripted.asked] == [
        ("/hub/negotiate", "Bearer mine"),
        ("/hub/other/negotiate", "Bearer given"),
        ("/hub/other", "Bearer given"),
    ]


async def test_redirects_have_an_end(scripted: Scripted) -> None:
    """A circle is the server's fault."""
    scripted.negotiations = [{"url": scripted.url}]
    with pytest.raises(BadAnswer, match="more than 3 times"):
        await HubConnection(scripted.url, options=replace(QUICK, max_redirects=3)).start()
    assert len(scripted.asked) == 4


async def test_the_next_transport_is_tried_after_negotiating_again(scripted: Scripted) -> None:
    """In the server's order; when all fail, the error tells each reason."""
    unknown = {"transport": "Telepathy", "transferFormats": []}
    scripted.negotiations = [welcome(POLLING, EVENTS, unknown, WEBSOCKETS)]
    scripted.statuses = {"LongPolling": 500, "ServerSentEvents": 404}
    async with HubConnection(scripted.url, options=QUICK) as hub:
        assert hub.transport is Transport.WEB_SOCKETS
    assert scripted.kinds() == [
        *("negotiate", "LongPolling", "negotiate", "ServerSentEvents", "negotiate", "WebSockets"),
    ]
    scripted.statuses["WebSockets"] = 400
    with pytest.raises(ServerAway, match=r"LongPolling.*500.*ServerSentEvents.*404.*WebSockets.*400"):
        await HubConnection(scripted.url, options=QUICK).start()


async def test_messagepack_never_goes_over_server_sent_events(scripted: Scripted) -> None:
    """The transport carries text alone; with nothing else offered there is no transport."""
    scripted.negotiations = [welcome(EVENTS)]
    with pytest.raises(NotSupported, match="messagepack"):
        await HubConnection(scripted.url, options=replace(QUICK, protocol="messagepack")).start()
    assert scripted.kinds() == ["negotiate"]


def _answer(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status)


@pytest.mark.parametrize(
    ("reply", "kind", "fault", "words"),
    [
        (lambda: {"error": "closed on Sundays"}, NotSupported, Fault.CALLER, "closed on Sundays"),
        (lambda: _answer("<html>"), BadAnswer, Fault.SERVER, "hub"),
        (lambda: _answer("x" * 100_000), BadAnswer, Fault.SERVER, "bytes"),
        (lambda: _answer("", 401), NotAuthorized, Fault.CALLER, "401"),
        (lambda: _answer("", 403), NotAuthorized, Fault.CALLER, "403"),
        (lambda: _answer("", 404), ServerAway, Fault.NETWORK, "SignalR hub"),
        (lambda: _answer("", 503), ServerAway, Fault.NETWORK, "503"),
        (lambda: _answer("", 400), NotSupported, Fault.CALLER, "400"),
        (lambda: welcome(WEBSOCKETS, useStatefulReconnect=True), BadAnswer, Fault.SERVER, "stateful"),
        (lambda: {"url": "file:///etc/passwd"}, BadAnswer, Fault.SERVER, "redirected"),
        (lambda: {"ProtocolVersion": "1.5"}, BadAnswer, Fault.SERVER, "ASP.NET SignalR"),
    ],
)
async def test_what_negotiation_may_end_with(
    scripted: Scripted, reply: Callable[[], Reply], kind: type[StakewireError], fault: Fault, words: str
) -> None:
    """Each answer that is no welcome has its error, which says whose fault it is; nothing stays open."""
    scripted.negotiations = [reply()]
    hub = HubConnection(scripted.url, options=QUICK)
    with pytest.raises(kind, match=words) as raised:
        await hub.start()
    assert getattr(raised.value, "fault") is fault  # noqa: B009 - every class here has one
    assert hub.state is State.DISCONNECTED


async def test_a_refused_handshake_fails_the_start(scripted: Scripted) -> None:
    """With the server's words."""
    scripted.handshake = json.dumps({"error": "The protocol 'json' is not supported."}) + "\x1e"
    with pytest.raises(NotSupported, match="'json' is not supported") as refused:
        await HubConnection(scripted.url, options=QUICK).start()
    assert refused.value.code == "HANDSHAKE_REFUSED"


async def test_a_handshake_that_never_comes_fails_the_start(scripted: Scripted) -> None:
    """After the time the options give it."""
    scripted.handshake = "{"
    with pytest.raises(ServerAway, match="handshake"):
        await HubConnection(scripted.url, options=replace(QUICK, handshake_seconds=0.05)).start()


async def test_a_server_that_breaks_the_protocol_is_named(scripted: Scripted) -> None:
    """The connection is dropped and made anew; the state change carries the reason."""
    scripted.reaction = '{"type":1,"target":5}\x1e'
    errors: list[StakewireError | None] = []
    hub = HubConnection(scripted.url, options=replace(QUICK, reconnect=ReconnectSchedule((0.0,), 0.0, 2)))
    hub.on_state(lambda change: errors.append(change.error))
    await hub.start()
    assert isinstance(await hub.ended(), BadAnswer)
    assert isinstance(errors[-1], BadAnswer)
    assert scripted.kinds().count("WebSockets") == 3
    scripted.handshake += scripted.reaction
    with pytest.raises(BadAnswer):
        await hub.start()


async def test_nobody_listening_is_a_server_that_is_away() -> None:
    """`start` says so; with `retry_start` it waits for the server."""
    async with serving() as peer, through_proxy(peer.url) as (proxy, url):
        there = proxy.target
        proxy.target = ("127.0.0.1", 9)
        with pytest.raises(ServerAway) as away:
            await HubConnection(url, options=QUICK).start()
        assert away.value.retryable
        hub = HubConnection(url, options=replace(QUICK, retry_start=True))
        starting = asyncio.create_task(hub.start())
        await until(lambda: proxy.connections > 5)
        proxy.target = there
        await starting
        await hub.stop()


@dataclass
class Tokens:
    """A factory of numbered tokens, and an authenticator that accepts those not yet revoked."""

    made: int = 0
    revoked: int = 0
    seen: list[str] = field(default_factory=list)

    async def __call__(self) -> str:
        self.made += 1
        return f"t{self.made}"

    def authenticate(self, request: HubRequest) -> Principal:
        token = request.token()
        if token is None or int(token[1:]) <= self.revoked:
            raise Unauthorized("the token is not valid")
        self.seen.append(token)
        return Principal("alice")


@pytest.mark.parametrize("in_query", [False, True])
@pytest.mark.parametrize("transport", list(Transport), ids=lambda transport: transport.value)
async def test_the_token_is_asked_for_again(transport: Transport, in_query: bool) -> None:
    """At each negotiation and connect, and when a request is refused later; in the header or the query."""
    tokens = Tokens()
    options = replace(QUICK, transports=frozenset({transport}), token_in_query=in_query)
    async with (
        serving(authenticate=tokens.authenticate) as peer,
        through_proxy(peer.url) as (proxy, url),
        HubConnection(url, options=options, token=tokens) as hub,
    ):
        assert await hub.invoke("Who", result=str) == "alice"
        assert tokens.made == 2
        tokens.revoked = tokens.made
        if transport is Transport.WEB_SOCKETS:  # the others send requests all the time
            states = States(hub)
            proxy.cut()
            await states.reach(State.CONNECTED)
        assert await hub.invoke("MembersOnly", result=str) == "in"
        assert tokens.made >= 3  # a poll and a POST that cross each other may both ask


async def test_a_resumption_asks_for_the_token_again() -> None:
    """It is a new request, and the first token may have expired meanwhile."""
    tokens = Tokens()
    async with (
        serving(HubOptions(stateful_reconnect=True), authenticate=tokens.authenticate) as peer,
        through_proxy(peer.url) as (proxy, url),
        HubConnection(url, options=replace(QUICK, stateful_reconnect=True), token=tokens) as hub,
    ):
        states = States(hub)
        tokens.revoked = tokens.made
        proxy.cut()
        await states.reach(State.RESUMING)
        assert await hub.invoke("Who", result=str) == "alice"
        assert tokens.made == 3


async def test_a_token_that_does_not_change_is_not_tried_again() -> None:
    """Refused while reconnecting: without a factory it is over, with one the schedule goes on."""
    tokens = Tokens()
    async with serving(authenticate=tokens.authenticate) as peer, through_proxy(peer.url) as (proxy, url):
        headers = {"Authorization": "Bearer t1"}
        async with HubConnection(url, options=QUICK, headers=headers) as hub:
            tokens.revoked = 1
            proxy.cut()
            assert isinstance(await hub.ended(), NotAuthorized)
        tokens.made = 1
        async with HubConnection(url, options=QUICK, token=tokens) as hub:
            states = States(hub)
            tokens.revoked = tokens.made + 3
            proxy.cut()
            await states.reach(State.CONNECTED)
            assert tokens.made == 8, "three refused negotiations, one that was not, and its connect"


async def test_a_token_factory_that_fails_is_asked_again() -> None:
    """Its error is the cause of the one that `start` raises; a later attempt may succeed."""
    answers: list[Exception | str] = [RuntimeError("the vault is locked"), "t1", "t2"]

    def factory() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with serving() as peer:
        hub = HubConnection(peer.url, options=QUICK, token=factory)
        with pytest.raises(ServerAway) as failed:
            await hub.start()
        assert failed.value.code == "NO_TOKEN"
        assert isinstance(failed.value.__cause__, RuntimeError)
        async with hub:
            assert await hub.invoke("Add", 1, 1, result=int) == 2


async def test_no_error_shows_the_token(scripted: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a text, not in a representation, not in a log, although it is in the URL."""
    caplog.set_level("DEBUG")
    options = replace(QUICK, token_in_query=True)
    hub = HubConnection(scripted.url + "?access_token=hush", options=options, token=lambda: "hush-hush")
    assert "hush" not in repr(hub)
    scripted.statuses = {"WebSockets": 500}
    for reply in (welcome(WEBSOCKETS), 500, {"error": "no"}):
        scripted.negotiations = [reply]
        with pytest.raises(StakewireError) as raised:
            await hub.start()
        assert "hush" not in f"{raised.value!r} {raised.value.__cause__!r}"
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("stakewire.client")]
    assert "hush" not in " ".join(ours)


async def test_a_shared_http_session_is_not_closed(scripted: Scripted) -> None:
    """It is the user's."""
    async with aiohttp.ClientSession() as session:
        async with HubConnection(scripted.url, options=QUICK, session=session):
            pass
        assert not session.closed


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: HubConnection("ftp://example.com/hub"),
        lambda: HubConnection("/hub"),
        lambda: ClientOptions(protocol="xml"),
        lambda: ClientOptions(transports=frozenset()),
        lambda: ClientOptions(skip_negotiation=True),
        lambda: ReconnectSchedule(waits=()),
        lambda: ReconnectSchedule(jitter=2),
    ],
)
def test_wrong_options_are_refused_at_once(wrong: Callable[[], object]) -> None:
    """With a sentence that says what would be right."""
    with pytest.raises(ConfigError):
        wrong()


async def test_ws_urls_are_hubs_too(scripted: Scripted) -> None:
    """`ws://` is where `http://` is."""
    async with HubConnection(scripted.url.replace("http:", "ws:"), options=QUICK) as hub:
        assert hub.state is State.CONNECTED
