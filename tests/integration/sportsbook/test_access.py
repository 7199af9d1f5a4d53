"""Who may come in: tokens with an honest lifetime, links that work once, sessions that end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.sportsbook.conftest import MASTER_KEY, World

from stakewire.errors import ConfigError, Conflict, InvalidInput, NotFound, Refused, StakewireError
from stakewire.postgres.crypto import Vault
from stakewire.sportsbook.access import Forbidden, InvalidCredentials, InvalidToken, TooManyRequests
from stakewire.sportsbook.directory import ClientDirectory


async def code_of(work: Awaitable[object]) -> str:
    """The code of the error that it ends with."""
    with pytest.raises(StakewireError) as raised:
        await work
    return raised.value.code


async def token(world: World) -> str:
    made = await world.clients.rotate("acme", new_password=True)
    assert made.password is not None
    return (await world.book.access.authenticate("acme", made.password, "1.1.1.1")).token


async def test_a_token_lives_exactly_as_long_as_it_says(world: World) -> None:
    """One second before `expires_in` it opens the door, at `expires_in` it does not."""
    made = await world.clients.rotate("acme", new_password=True)
    assert made.password is not None
    given = await world.book.access.authenticate("acme", made.password, "1.1.1.1")
    world.clock.advance(given.expires_in - 1)
    assert (await world.book.access.client_of(given.token)).name == "acme"
    world.clock.advance(1)
    with pytest.raises(InvalidToken):
        await world.book.access.client_of(given.token)


@pytest.mark.parametrize("username", ["acme", "nobody", "", "a\0b", "acme ", "x" * 10_000])
async def test_wrong_credentials_say_nothing_about_which(world: World, username: str) -> None:
    """A wrong password and an unknown name get the same answer."""
    with pytest.raises(InvalidCredentials, match="no client has this user name and password"):
        await world.book.access.authenticate(username, "wrong", "1.1.1.1")


async def test_wrong_passwords_are_limited_by_address(world: World) -> None:
    """After twenty wrong ones an address waits, with the right one too; another address does not."""
    made = await world.clients.rotate("acme", new_password=True)
    assert made.password is not None
    authenticate = world.book.access.authenticate
    codes = [await code_of(authenticate("acme", "wrong", "1.1.1.1")) for _ in range(21)]
    assert codes == ["INVALID_CREDENTIALS"] * 20 + ["TOO_MANY_REQUESTS"]
    with pytest.raises(TooManyRequests) as refused:
        await authenticate("acme", made.password, "1.1.1.1")
    await authenticate("acme", made.password, "2.2.2.2")
    world.clock.advance(refused.value.retry_after)
    await authenticate("acme", made.password, "1.1.1.1")


async def test_a_launch_link_works_once_and_for_a_minute(world: World) -> None:
    """Used or old, it opens nothing; of many at once, one gets in."""
    acme = world.book.directory.find("acme")
    assert acme is not None
    start = world.book.access.start_session
    link = await start(acme, user_id="alice", currency="EUR", lang=None)
    tries = await asyncio.gather(*(world.book.access.launch(link) for _ in range(8)), return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in tries) == 1
    assert sum(isinstance(one, InvalidToken) for one in tries) == 7
    old = await start(acme, user_id="alice", currency="EUR", lang=None)
    world.clock.advance(60)
    with pytest.raises(InvalidToken):
        await world.book.access.launch(old)


async def test_a_launch_token_has_at_least_128_random_bits(world: World) -> None:
    """In base64url that is 22 characters or more, and no two are alike."""
    acme = world.book.directory.find("acme")
    assert acme is not None
    links = {
        await world.book.access.start_session(acme, user_id="alice", currency="EUR", lang=None)
        for _ in range(50)
    }
    assert len(links) == 50
    assert min(map(len, links)) >= 22


async def test_a_session_is_for_its_player_client_and_currency_and_ends(world: World) -> None:
    """What start-session named is what the page gets, for twelve hours."""
    acme = world.book.directory.find("acme")
    assert acme is not None
    link = await world.book.access.start_session(acme, user_id=" Ünï ", currency="EUR", lang="AR_eg")
    bearer, opened = await world.book.access.launch(link)
    found = await world.book.access.session_of(bearer)
    assert found == opened
    assert (found.visit.user_id, found.visit.currency, found.visit.lang) == (" Ünï ", "EUR", "ar")
    world.clock.advance(12 * 3600)
    with pytest.raises(InvalidToken):
        await world.book.access.session_of(bearer)


async def test_a_currency_the_client_does_not_have_is_refused(world: World) -> None:
    """A session in it could never bet."""
    acme = world.book.directory.find("acme")
    assert acme is not None
    with pytest.raises(Forbidden):
        await world.book.access.start_session(acme, user_id="alice", currency="USD", lang=None)


async def test_a_disabled_client_and_its_players_are_out_at_once(world: World) -> None:
    """No token, no session, no new one; enabled again, it starts anew."""
    api_token = await token(world)
    acme = world.book.directory.find("acme")
    assert acme is not None
    link = await world.book.access.start_session(acme, user_id="alice", currency="EUR", lang=None)
    bearer, _ = await world.book.access.launch(link)
    await world.clients.set_enabled("acme", False)
    await world.book.directory.reload()
    assert await code_of(world.book.access.client_of(api_token)) == "INVALID_TOKEN"
    assert await code_of(world.book.access.session_of(bearer)) == "INVALID_TOKEN"
    made = await world.clients.rotate("acme", new_password=True)
    assert made.password is not None
    assert await code_of(world.book.access.authenticate("acme", made.password, "3.3.3.3")) == "FORBIDDEN"
    assert (await world.clients.set_enabled("acme", True)).state == "active"


async def test_a_new_password_ends_the_old_tokens(world: World) -> None:
    """Whoever had the old password is out."""
    api_token = await token(world)
    await world.clients.rotate("acme", new_password=True)
    assert await code_of(world.book.access.client_of(api_token)) == "INVALID_TOKEN"


async def test_expired_tokens_are_deleted(world: World) -> None:
    """None of the tables grows for ever."""
    await token(world)
    await world.session()
    world.clock.advance(13 * 3600)
    await world.book.access.drop_expired()
    for table in ("api_token", "launch_token", "page_session"):
        assert await world.book.pool.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_no_secret_is_readable_in_the_database(world: World) -> None:
    """Passwords and tokens are hashed, security hashes sealed."""
    made = await world.client("readable")
    bearer = await token(world)
    rows = []
    for table in ("client", "client_secret", "api_token", "page_session", "launch_token", "admin_act"):
        rows += [str(row) for row in await world.book.pool.fetch(f"SELECT {table}::text FROM {table}")]
    stored = "".join(rows)
    for secret in (made.password, made.security_hash, bearer):
        assert secret is not None
        assert secret not in stored
        assert secret.encode().hex() not in stored
    assert "$argon2id$" in stored


async def test_a_new_security_hash_signs_from_its_time_on(world: World) -> None:
    """With a wait the old one signs until then, so that the client's wallet can be told first."""
    before = world.book.directory.find("acme")
    made = await world.clients.rotate("acme", security_hash="a" * 16, signs_in=timedelta(minutes=10))
    assert made.security_hash == "a" * 16
    await world.book.directory.reload()
    assert before is not None
    now = world.book.directory.find("acme")
    assert now is not None
    assert now.target.secret.sign(b"x") == before.target.secret.sign(b"x")
    world.clock.advance(600)
    await world.book.directory.reload()
    after = world.book.directory.find("acme")
    assert after is not None
    assert after.target.secret.sign(b"x") != before.target.secret.sign(b"x")


async def test_a_client_whose_secret_cannot_be_opened_stops_nobody_else(world: World) -> None:
    """Sealed with another master key, it is left out; the others are served."""
    await world.client("second")
    stored: bytes = await world.book.pool.fetchval("SELECT sealed FROM client_secret ORDER BY id LIMIT 1")
    other = Vault([b"another key, of thirty-two bytes"])
    with pytest.raises(ConfigError):
        other.open(stored, "sportsbook client acme security hash")
    sealed = other.seal("x" * 20, "sportsbook client acme security hash")
    await world.book.pool.execute(
        "INSERT INTO client_secret (client_id, sealed, signs_from, created_at)"
        " SELECT id, $1, $2, $2 FROM client WHERE name = 'acme'",
        sealed,
        world.clock.now(),
    )
    directory = ClientDirectory(world.book.pool, Vault.from_settings(MASTER_KEY, Path()), world.clock)
    await directory.reload()
    assert directory.find("acme") is None
    assert directory.find("second") is not None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"callback_url": "http://10.0.0.1/x"}, Refused),
        ({"callback_url": "http://169.254.169.254/latest"}, Refused),
        ({"callback_url": "ftp://127.0.0.1/x"}, Refused),
        ({"origins": ("site.test",)}, InvalidInput),
        ({"origins": ("https://site.test/path",)}, InvalidInput),
        ({"origins": ("https://a; script-src *",)}, InvalidInput),
        ({"currencies": ("ZZZ",)}, InvalidInput),
        ({"currencies": ()}, InvalidInput),
        ({"profile": "no_such_key = 1"}, InvalidInput),
        ({"security_hash": "short"}, InvalidInput),
        ({"name": "a b"}, InvalidInput),
        ({"name": "../x"}, InvalidInput),
        ({"name": "acme"}, Conflict),
    ],
)
async def test_a_client_that_could_not_work_is_refused(
    world: World, changes: dict[str, object], error: type[StakewireError]
) -> None:
    """Wrong addresses, origins, currencies, profiles, secrets and names are said at once."""
    name = str(changes.pop("name", "new"))
    with pytest.raises(error):
        await world.client(name, **changes)


async def test_origins_are_kept_as_browsers_send_them(world: World) -> None:
    """Lower case, no slash at the end, no default port, none twice."""
    row = await world.clients.set(
        "acme", origins=("HTTPS://Casino.Example:443/", "https://casino.example", "http://a.b:8080")
    )
    assert row.origins == ("https://casino.example", "http://a.b:8080")


async def test_acts_on_clients_are_kept(world: World) -> None:
    """Adding, changing, rotating and disabling leave a trace each."""
    await world.clients.set("acme", currencies=("USD",))
    await world.clients.rotate("acme")
    await world.clients.set_enabled("acme", False)
    acts = await world.book.pool.fetch("SELECT act FROM admin_act WHERE subject = 'acme' ORDER BY id")
    assert [row["act"] for row in acts] == ["client.add", "client.set", "client.rotate", "client.disabled"]
    with pytest.raises(NotFound):
        await world.clients.get("nobody")
