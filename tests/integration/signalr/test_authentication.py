"""Claims about who may use a hub, and for how long."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from tests.integration.signalr.conftest import NewHost
from tests.integration.signalr.hosting import SHAKE, Host, until

from stakewire.errors import ConfigError, Unauthorized
from stakewire.net.signalr.auth import JwtAuthenticator, Principal
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.request import HubRequest
from stakewire.testing import ManualClock

SECRET = OctKey.import_key("a secret that is long enough for HS256")
RSA = RSAKey.generate_key(2048)
PUBLIC = RSAKey.import_key(RSA.as_dict(private=False))


def token(clock: ManualClock, *, key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A token of alice for one hour, unless the claims say otherwise; a claim that is None is left out."""
    hour = int((clock.now() + timedelta(hours=1)).timestamp())
    said = {"sub": "alice", "exp": hour} | claims
    payload = {name: value for name, value in said.items() if value is not None}
    return jwt.encode({"alg": algorithm}, payload, key, algorithms=[algorithm])


def by_hand(header: dict[str, Any], payload: bytes, secret: bytes = b"") -> str:
    """A token that no library would make."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (json.dumps(header).encode(), payload)]
    signed = b".".join(parts)
    signature = b""
    if secret:
        mac = hmac.HMAC(secret, hashes.SHA256())
        mac.update(signed)
        signature = base64.urlsafe_b64encode(mac.finalize()).rstrip(b"=")
    return (signed + b"." + signature).decode()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def secured(new_host: NewHost, clock: ManualClock) -> Awaitable[Host]:
    return new_host(
        authenticate=JwtAuthenticator(SECRET, algorithms=["HS256"], clock=clock),
        clock=clock,
        options=HubOptions(stateful_reconnect=True),
    )


async def test_the_token_comes_in_the_header_or_in_the_query(
    secured: Awaitable[Host], clock: ManualClock
) -> None:
    """Browsers have only the query on WebSockets and event streams; the header wins where both are."""
    host = await secured
    alice, bob = token(clock), token(clock, sub="bob")
    for query, headers in (
        (f"?access_token={alice}", ()),
        ("", (f"Authorization: Bearer {alice}",)),
        (f"?access_token={bob}", (f"Authorization: bearer {alice}",)),
    ):
        client = await host.connect(query, *headers)
        assert [connection.principal.user_id for connection in host.hub.here.values()] == ["alice"]
        client.http.reset()
        await until(lambda: host.known == 0)


async def test_every_request_is_authenticated(secured: Awaitable[Host], clock: ManualClock) -> None:
    """401 without a token on every route, so that nobody learns which ids there are."""
    host = await secured
    negotiated = await host.negotiate("?negotiateVersion=1", f"Authorization: Bearer {token(clock)}")
    target = f"?id={negotiated['connectionToken']}"
    for method, path, headers in (
        ("POST", "/negotiate", ()),
        ("GET", target, ()),
        ("GET", target, ("Accept: text/event-stream",)),
        ("POST", target, ()),
        ("DELETE", target, ()),
        ("GET", "?id=unknown", ()),
    ):
        answer = await host.ask(method, path, *headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await host.upgrade(target))[1].status == 401
    assert (await host.upgrade())[1].status == 401


async def test_later_requests_come_from_the_user_who_negotiated(
    secured: Awaitable[Host], clock: ManualClock
) -> None:
    """Another user's token is 403, even with the secret id; another token of the same user is welcome."""
    host = await secured
    alice, again, bob = (
        f"Authorization: Bearer {token(clock, **claims)}" for claims in ({}, {"jti": "2"}, {"sub": "bob"})
    )
    target = f"?id={(await host.negotiate('?negotiateVersion=1', alice))['connectionToken']}"
    assert (await host.upgrade(target, bob))[1].status == 403
    assert (await host.ask("GET", target, bob)).status == 403
    assert (await host.ask("GET", target, again)).status == 200
    assert (await host.ask("POST", target, bob, body=SHAKE)).status == 403
    assert (await host.ask("DELETE", target, bob)).status == 403
    assert (await host.ask("DELETE", target, again)).status == 202


WRONG: dict[str, Any] = {
    "garbage": lambda clock: "garbage",
    "two parts": lambda clock: "a.b",
    "dots": lambda clock: "..",
    "not base64": lambda clock: "ä.ö.ü",
    "encrypted form": lambda clock: "a.b.c.d.e",
    "none": lambda clock: by_hand({"alg": "none"}, _payload(clock)),
    "None": lambda clock: by_hand({"alg": "None", "typ": "JWT"}, _payload(clock)),
    "no algorithm": lambda clock: by_hand({}, _payload(clock)),
    "other secret": lambda clock: token(clock, key=OctKey.import_key("b" * 40)),
    "other algorithm": lambda clock: token(clock, algorithm="HS384"),
    "rsa": lambda clock: token(clock, key=RSA, algorithm="RS256"),
    "no exp": lambda clock: token(clock, exp=None),
    "exp is text": lambda clock: token(clock, exp="tomorrow"),
    "exp is NaN": lambda clock: by_hand({"alg": "HS256"}, b'{"sub":"alice","exp":NaN}', SECRET.raw_value),
    "exp is endless": lambda clock: by_hand(
        {"alg": "HS256"}, b'{"sub":"alice","exp":1e999}', SECRET.raw_value
    ),
    "exp is far": lambda clock: by_hand({"alg": "HS256"}, b'{"sub":"alice","exp":1e300}', SECRET.raw_value),
    "expired": lambda clock: token(clock, exp=int(clock.now().timestamp())),
    "not yet": lambda clock: token(clock, nbf=int(clock.now().timestamp()) + 60),
    "no user": lambda clock: token(clock, sub=None),
    "user is a number": lambda clock: token(clock, sub=7),
    "user is empty": lambda clock: token(clock, sub=""),
    "claims are a list": lambda clock: by_hand({"alg": "HS256"}, b"[]", SECRET.raw_value),
    "deep": lambda clock: by_hand({"alg": "HS256"}, b"[" * 1000, SECRET.raw_value),
    "critical": lambda clock: by_hand(
        {"alg": "HS256", "crit": ["x"], "x": 1}, _payload(clock), SECRET.raw_value
    ),
}


def _payload(clock: ManualClock) -> bytes:
    return json.dumps({"sub": "alice", "exp": int(clock.now().timestamp()) + 60}).encode()


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
async def test_wrong_tokens_are_refused_and_not_repeated(
    secured: Awaitable[Host], clock: ManualClock, make: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """401 with a text that holds nothing of the token; neither does anything that is logged."""
    host = await secured
    wrong = make(clock)
    query = "?access_token=" + "".join(f"%{byte:02x}" for byte in wrong.encode())
    _, answer = await host.upgrade(query)
    assert answer.status == 401
    answer = await host.ask("POST", "/negotiate", f"Authorization: Bearer {wrong}".encode().decode("latin-1"))
    assert answer.status == 401
    assert answer.body in (b"the token is not valid here", b"the token has expired")
    logged = "".join(capfd.readouterr())
    assert all(part not in logged for part in wrong.split(".") if len(part) > 4)
    assert host.known == 0


def _judge(authenticator: JwtAuthenticator, text: str) -> Principal:
    return authenticator(HubRequest("GET", "/", "", [(b"authorization", b"Bearer " + text.encode())]))


def test_a_public_key_is_never_an_hmac_secret(clock: ManualClock) -> None:
    """A token signed with the published key as the secret is refused, whatever its header says."""
    authenticator = JwtAuthenticator(PUBLIC, algorithms=["RS256"], clock=clock)
    assert _judge(authenticator, token(clock, key=RSA, algorithm="RS256")).user_id == "alice"
    for published in (PUBLIC.as_pem(private=False), json.dumps(PUBLIC.as_dict(private=False)).encode()):
        forged = by_hand({"alg": "HS256", "typ": "JWT"}, _payload(clock), published)
        with pytest.raises(Unauthorized):
            _judge(authenticator, forged)


def test_keys_must_fit_the_algorithms(clock: ManualClock) -> None:
    """No mixture of secrets and key pairs, no `none`, no empty list: refused when the hub is built."""
    for keys, algorithms in (
        (SECRET, ["RS256"]),
        (PUBLIC, ["HS256"]),
        (SECRET, ["HS256", "RS256"]),
        (SECRET, ["none"]),
        (SECRET, []),
        (KeySet([PUBLIC, SECRET]), ["RS256"]),
    ):
        with pytest.raises(ConfigError):
            JwtAuthenticator(keys, algorithms=algorithms, clock=clock)


def test_issuer_and_audience_are_required_where_they_are_configured(clock: ManualClock) -> None:
    """Missing or other values are refused; an audience may be one of a list."""
    authenticator = JwtAuthenticator(
        SECRET, algorithms=["HS256"], clock=clock, issuer="https://id.example", audience="feed"
    )
    good: dict[str, Any] = {"iss": "https://id.example", "aud": ["other", "feed"]}
    assert _judge(authenticator, token(clock, **good)).claims["aud"] == ["other", "feed"]
    for wrong in (
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"aud": 1},
    ):
        with pytest.raises(Unauthorized):
            _judge(authenticator, token(clock, **(good | wrong)))


def test_keys_can_be_rotated(clock: ManualClock) -> None:
    """When other keys are given, tokens of the old ones end at once, remembered or not."""
    keys = [SECRET]
    authenticator = JwtAuthenticator(lambda: keys[0], algorithms=["HS256"], clock=clock)
    old = token(clock)
    assert _judge(authenticator, old) is _judge(authenticator, old)
    keys[0] = OctKey.import_key("the next secret, which is long enough as well")
    with pytest.raises(Unauthorized):
        _judge(authenticator, old)
    assert _judge(authenticator, token(clock, key=keys[0])).user_id == "alice"


def test_remembered_tokens_are_bounded_and_expire(clock: ManualClock) -> None:
    """Remembering saves the signature only: the time is judged each time."""
    authenticator = JwtAuthenticator(SECRET, algorithms=["HS256"], clock=clock, remembered=2)
    tokens = [token(clock, jti=str(number)) for number in range(4)]
    first = _judge(authenticator, tokens[0])
    for text in tokens:
        _judge(authenticator, text)
    assert _judge(authenticator, tokens[0]) is not first
    clock.advance(3600)
    for text in tokens:
        with pytest.raises(Unauthorized, match="expired"):
            _judge(authenticator, text)


async def test_a_connection_ends_with_its_token(secured: Awaitable[Host], clock: ManualClock) -> None:
    """At `exp` the client is told to come back, with a new token that its factory will give it."""
    host = await secured
    short = token(clock, exp=int(clock.now().timestamp()) + 20)
    other = await host.connect(f"?access_token={token(clock)}")
    client = await host.connect(f"?access_token={short}")
    host.pass_time(19)
    assert await client.call("in time") == "in time"
    host.pass_time(2)
    said = await client.hear()
    assert (said["type"], said["allowReconnect"]) == (7, True)
    await client.ended()
    assert await other.call("untouched") == "untouched"


async def test_an_early_end_is_not_missed(secured: Awaitable[Host], clock: ManualClock) -> None:
    """A token that ends before any other deadline of its connection is noticed within two seconds as well."""
    host = await secured
    client = await host.connect(f"?access_token={token(clock, exp=int(clock.now().timestamp()) + 3)}")
    host.pass_time(5)
    assert (await client.hear())["type"] == 7


async def test_a_new_token_prolongs_polling(secured: Awaitable[Host], clock: ManualClock) -> None:
    """Each poll carries the factory's newest token, and the connection lives as long as that."""
    host = await secured
    start = int(clock.now().timestamp())
    first, second = (f"Authorization: Bearer {token(clock, exp=start + left)}" for left in (20, 60))
    target = f"?id={(await host.negotiate('?negotiateVersion=1', first))['connectionToken']}"
    await host.ask("GET", target, first)
    await host.ask("POST", target, first, body=SHAKE)
    host.pass_time(14)
    assert (await host.ask("GET", target, second)).status == 200
    host.pass_time(10)
    assert (await host.ask("POST", target, first)).status == 401
    assert (await host.ask("POST", target, second)).status == 200


async def test_expiry_can_be_left_to_others(new_host: NewHost, clock: ManualClock) -> None:
    """With the option off the connection stays; only new requests need a valid token."""
    host = await new_host(
        authenticate=JwtAuthenticator(SECRET, algorithms=["HS256"], clock=clock),
        clock=clock,
        options=HubOptions(close_at_token_expiry=False),
    )
    client = await host.connect(f"?access_token={token(clock, exp=int(clock.now().timestamp()) + 5)}")
    host.pass_time(10)
    assert await client.call(1) == 1


async def test_authentication_may_take_its_time(new_host: NewHost) -> None:
    """An authenticator may be asynchronous; its refusal is 401, and its failure 500 without details."""
    gate = asyncio.Event()

    async def authenticate(request: HubRequest) -> Principal:
        await gate.wait()
        if request.token() == "broken":
            raise RuntimeError("secret inside")
        if request.token() != "good":
            raise Unauthorized("who are you?")
        return Principal("carol")

    host = await new_host(authenticate=authenticate)
    connecting = asyncio.create_task(host.connect("?access_token=good"))
    await asyncio.sleep(0.01)
    assert not connecting.done()
    gate.set()
    assert await (await connecting).call(1) == 1
    assert host.hub.only.principal.user_id == "carol"
    refused = await host.ask("POST", "/negotiate?access_token=bad")
    assert (refused.status, refused.body) == (401, b"who are you?")
    broken = await host.ask("POST", "/negotiate?access_token=broken")
    assert (broken.status, broken.body) == (500, b"The request could not be handled")
