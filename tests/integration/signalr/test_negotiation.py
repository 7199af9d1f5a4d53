"""Claims about negotiation, the statuses of every route, and other sites' pages."""

from __future__ import annotations

import pytest
from tests.integration.signalr.conftest import NewHost
from tests.integration.signalr.hosting import PATH, SHAKE, Host, until

from stakewire.errors import ConfigError
from stakewire.net.signalr.auth import Principal
from stakewire.net.signalr.cors import Origins
from stakewire.net.signalr.options import LONG_POLLING, SERVER_SENT_EVENTS, WEB_SOCKETS, HubOptions
from stakewire.net.signalr.request import HubRequest
from stakewire.wire.signalr.negotiate import Redirect

SSE = "Accept: text/event-stream"


async def test_version_one_offers_every_transport_in_order(host: Host) -> None:
    """WebSockets first; MessagePack needs Binary, which events cannot carry."""
    offer = await host.negotiate("?negotiateVersion=1")
    assert offer["negotiateVersion"] == 1
    assert offer["availableTransports"] == [
        {"transport": "WebSockets", "transferFormats": ["Text", "Binary"]},
        {"transport": "ServerSentEvents", "transferFormats": ["Text"]},
        {"transport": "LongPolling", "transferFormats": ["Text", "Binary"]},
    ]
    assert len(offer["connectionId"]) == len(offer["connectionToken"]) == 22
    assert "useStatefulReconnect" not in offer


@pytest.mark.parametrize(
    ("query", "version"), [("", 0), ("?NegotiateVersion=1", 1), ("?negotiateVersion=7", 1)]
)
async def test_the_newest_version_that_both_know_is_answered(host: Host, query: str, version: int) -> None:
    """Without a version it is 0; names of parameters may be in any case."""
    assert (await host.negotiate(query))["negotiateVersion"] == version


@pytest.mark.parametrize("version", ["x", "-1", "1.0", ""])
async def test_a_version_that_is_none_is_an_error_with_status_200(host: Host, version: str) -> None:
    """Clients look for `error` in the body."""
    assert set(await host.negotiate(f"?negotiateVersion={version}")) == {"error"}
    assert host.known == 0


async def test_other_parameters_of_the_url_do_not_matter(host: Host) -> None:
    """Clients keep the query of the hub's URL on every request; a slash after its path changes nothing."""
    offer = await host.negotiate("?tenant=a%20b&negotiateVersion=1&flag")
    client = await host.connect(f"/?tenant=a%20b&id={offer['connectionToken']}")
    assert await client.call(1) == 1


async def test_negotiation_may_send_clients_elsewhere(new_host: NewHost) -> None:
    """With the address of another server, and a token for it."""

    def choose(request: HubRequest, principal: Principal) -> Redirect | None:
        return Redirect("https://two.example/hub", "other-token") if request.parameter("go") else None

    host = await new_host(choose_server=choose)
    assert await host.negotiate("?go=1&negotiateVersion=1") == {
        "url": "https://two.example/hub",
        "accessToken": "other-token",
    }
    assert "connectionToken" in await host.negotiate()


@pytest.mark.parametrize("headers", [(), (SSE,)])
async def test_requests_must_name_a_connection(host: Host, headers: tuple[str, ...]) -> None:
    """Polls, event streams, POST and DELETE: 400 without an id, 404 with one that is not known."""
    requests = [("GET", headers), ("POST", ()), ("DELETE", ())]
    for method, lines in requests:
        answer = await host.ask(method, "", *lines)
        assert (answer.status, answer.body) == (400, b"Connection ID required")
        answer = await host.ask(method, "?id=nobody", *lines)
        assert (answer.status, answer.body) == (404, b"No Connection with that ID")
    assert (await host.upgrade("?id=nobody"))[1].status == 404


async def test_methods_are_those_of_the_protocol(host: Host) -> None:
    """Anything else is 405 and says what is allowed."""
    for method, target in (("PUT", ""), ("PATCH", ""), ("GET", "/negotiate"), ("DELETE", "/negotiate")):
        answer = await host.ask(method, target)
        assert answer.status == 405
        assert "POST" in answer.headers["allow"]


async def test_transports_that_are_not_offered_are_not_there(new_host: NewHost) -> None:
    """404, as if the hub did not know them; negotiation leaves them out."""
    polls = await new_host(options=HubOptions(transports=(LONG_POLLING,)))
    offer = await polls.negotiate()
    assert [entry["transport"] for entry in offer["availableTransports"]] == ["LongPolling"]
    target = f"?id={offer['connectionToken']}"
    assert (await polls.upgrade(target))[1].status == 404
    assert (await polls.upgrade())[1].status == 404
    assert (await polls.ask("GET", target, SSE)).status == 404
    assert (await polls.ask("GET", target)).status == 200

    sockets = await new_host(options=HubOptions(transports=(WEB_SOCKETS,)))
    target = f"?id={(await sockets.negotiate())['connectionToken']}"
    assert (await sockets.ask("GET", target)).status == 404


async def test_a_second_transport_is_refused_and_the_first_lives_on(host: Host) -> None:
    """409 for the same kind, 400 for another."""
    token = (await host.negotiate())["connectionToken"]
    client = await host.connect(f"?id={token}")
    assert (await host.upgrade(f"?id={token}"))[1].status == 409
    for headers in ((), (SSE,)):
        answer = await host.ask("GET", f"?id={token}", *headers)
        assert (answer.status, answer.body) == (400, b"Cannot change transports mid-connection")
    assert (await host.ask("POST", f"?id={token}", body=b"x")).status == 405
    assert (await host.ask("DELETE", f"?id={token}")).status == 400
    assert await client.call("still here") == "still here"


async def test_pollers_cannot_change_to_another_transport(host: Host) -> None:
    """The first transport is the one for good."""
    token = (await host.negotiate())["connectionToken"]
    assert (await host.ask("GET", f"?id={token}")).status == 200
    assert (await host.upgrade(f"?id={token}"))[1].status == 400
    assert (await host.ask("GET", f"?id={token}", SSE)).status == 400
    assert (await host.ask("POST", f"?id={token}", body=SHAKE)).status == 200


async def test_polling_may_begin_with_a_post(host: Host) -> None:
    """signalrcore shakes hands before its first poll; who then never polls is gone after 15 s."""
    tokens = [(await host.negotiate())["connectionToken"] for _ in range(2)]
    for token in tokens:
        assert (await host.ask("POST", f"?id={token}", body=SHAKE)).status == 200
    assert (await host.ask("GET", f"?id={tokens[0]}")).body == b""
    assert (await host.ask("GET", f"?id={tokens[0]}")).body == b"{}\x1e"
    host.pass_time(10)
    assert (await host.ask("POST", f"?id={tokens[0]}", body=b"")).status == 200
    host.pass_time(6)
    host.pass_time(1)
    assert host.known == 0


async def test_without_polling_a_post_needs_a_transport(new_host: NewHost) -> None:
    """Before the first GET there is nobody to answer on."""
    host = await new_host(options=HubOptions(transports=(SERVER_SENT_EVENTS,)))
    token = (await host.negotiate())["connectionToken"]
    assert (await host.ask("POST", f"?id={token}", body=SHAKE)).status == 400


async def test_upgrades_that_are_not_in_order_leave_nothing_behind(host: Host) -> None:
    """Another version is answered 426, a missing key 400."""
    client = await host.http()
    upgrade = ("Upgrade: websocket", "Connection: Upgrade")
    answer = await client.ask("GET", PATH, *upgrade, "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: AAAA")
    assert answer.status == 426
    answer = await (await host.http()).ask("GET", PATH, *upgrade, "Sec-WebSocket-Version: 13")
    assert answer.status == 400
    assert host.known == 0


async def test_ids_that_are_never_used_expire(host: Host) -> None:
    """Clients negotiate anew for each transport they try; what they leave behind is kept 15 s."""
    token = (await host.negotiate())["connectionToken"]
    host.pass_time(14)
    assert host.known == 1
    host.pass_time(2)
    assert host.known == 0
    assert (await host.upgrade(f"?id={token}"))[1].status == 404


async def test_a_flood_of_negotiations_pushes_out_its_own_oldest(new_host: NewHost) -> None:
    """Unused ids are bounded; connections that are in use are never among those forgotten."""
    host = await new_host(options=HubOptions(max_negotiated=3))
    client = await host.connect(f"?id={(await host.negotiate())['connectionToken']}")
    tokens = [(await host.negotiate())["connectionToken"] for _ in range(5)]
    assert host.known == 4
    assert (await host.upgrade(f"?id={tokens[0]}"))[1].status == 404
    await host.connect(f"?id={tokens[4]}")
    assert await client.call(1) == 1


async def test_a_full_hub_says_so(new_host: NewHost) -> None:
    """503 for negotiation and for upgrades; a place that becomes free is taken again."""
    host = await new_host(options=HubOptions(max_connections=1))
    client = await host.connect()
    assert (await host.ask("POST", "/negotiate")).status == 503
    assert (await host.upgrade())[1].status == 503
    client.http.reset()
    await until(lambda: host.known == 0)
    await host.connect()


async def test_pages_of_listed_origins_may_use_the_hub(new_host: NewHost) -> None:
    """The answer names their origin exactly, never `*`, since clients send credentials."""
    host = await new_host(options=HubOptions(allowed_origins=frozenset({"https://play.example"})))
    origin = "Origin: https://play.example"
    answer = await host.ask("POST", "/negotiate", origin)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://play.example"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["vary"] == "Origin"
    assert (await host.ask("GET", "?id=x", origin)).headers["access-control-allow-origin"]
    assert (await host.upgrade("", origin))[1].status == 101


async def test_preflight_allows_what_the_clients_send(new_host: NewHost) -> None:
    """Methods, and the headers that were asked for; it carries no token and needs none."""
    host = await new_host(options=HubOptions(allowed_origins=frozenset({"https://play.example"})))
    asked = "authorization,x-requested-with,x-signalr-user-agent"
    answer = await host.ask(
        *("OPTIONS", "/negotiate", "Origin: https://play.example"),
        *("Access-Control-Request-Method: POST", f"Access-Control-Request-Headers: {asked}"),
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-methods"] == "GET, POST, DELETE"
    assert answer.headers["access-control-allow-headers"] == asked


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://play.example.evil", "x"])
async def test_pages_of_other_sites_are_refused(new_host: NewHost, origin: str) -> None:
    """Every request, WebSockets above all, which CORS does not protect."""
    host = await new_host(options=HubOptions(allowed_origins=frozenset({"https://play.example"})))
    header = f"Origin: {origin}"
    for method, target in (
        ("POST", "/negotiate"),
        ("OPTIONS", "/negotiate"),
        ("GET", "?id=x"),
        ("POST", "?id=x"),
    ):
        answer = await host.ask(method, target, header)
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers
    assert (await host.upgrade("", header))[1].status == 403
    assert host.known == 0


async def test_the_hubs_own_site_needs_no_list(host: Host) -> None:
    """The page's host is the one it calls (here test.example); no Origin at all is no browser."""
    assert (await host.upgrade("", "Origin: http://test.example"))[1].status == 101
    assert (await host.upgrade("", "Origin: https://test.example:443"))[1].status == 101
    assert (await host.upgrade("", "Origin: https://test.example:444"))[1].status == 403
    assert (await host.upgrade())[1].status == 101


def test_a_request_without_a_host_has_no_own_site() -> None:
    """An origin without a host, such as `null`, is not taken for that of a request without one."""
    for host in ([], [(b"host", b"")]):
        request = HubRequest("GET", "/", "", [(b"origin", b"null"), *host])
        assert Origins(frozenset()).headers(request) is None


async def test_every_origin_is_allowed_only_by_saying_so(new_host: NewHost) -> None:
    """None in the options; a star would be a mistake, and is refused at the start."""
    host = await new_host(options=HubOptions(allowed_origins=None))
    answer = await host.ask("POST", "/negotiate", "Origin: https://any.example")
    assert answer.headers["access-control-allow-origin"] == "https://any.example"
    with pytest.raises(ConfigError, match="allowed_origins"):
        HubOptions(allowed_origins=frozenset({"*"}))
