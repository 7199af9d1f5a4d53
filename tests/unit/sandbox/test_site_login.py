"""The site's log-in cookie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stakewire.sandbox.site_login import LIFETIME, Login, Logins
from stakewire.testing.clock import ManualClock

PLAYERS = {"alice": "play-money", "bob.x": "other-money", "ليلى": "play-money"}
START = datetime(2030, 1, 1, tzinfo=UTC)


def logins(clock: ManualClock | None = None, secret: str = "s" * 16) -> Logins:
    return Logins(PLAYERS, secret, clock or ManualClock(START))


def test_only_the_players_own_password_fits() -> None:
    """Another player's password, an empty one and an unknown player are refused alike."""
    site = logins()
    assert site.check("alice", "play-money")
    assert not site.check("alice", "other-money")
    assert not site.check("alice", "")
    assert not site.check("mallory", "")
    assert not site.check("mallory", "play-money")


@pytest.mark.parametrize("user", PLAYERS)
def test_a_cookie_names_its_player_until_it_expires(user: str) -> None:
    """Names with dots or letters of any script come back as they were."""
    clock = ManualClock(START)
    site = logins(clock)
    cookie = site.issue(user)
    clock.advance((LIFETIME - timedelta(seconds=1)).total_seconds())
    assert site.read(cookie) == Login(user, START + LIFETIME)
    clock.advance(2)
    assert site.read(cookie) is None


def test_a_cookie_that_was_changed_or_signed_by_others_is_nobody() -> None:
    """Neither name nor expiry can be altered, and another site's secret opens nothing here."""
    site = logins()
    name, expires, signature = site.issue("alice").split(".")
    bob = site.issue("bob.x").split(".")[0]
    for forged in (
        f"{bob}.{expires}.{signature}",
        f"{name}.{int(expires) + 1}.{signature}",
        f"{name}.{expires}.{signature[:-1]}",
        f"{name}.{expires}.",
        f"{name}.{expires}",
        "",
        "...",
        "é.1.é",
        logins(secret="t" * 16).issue("alice"),
    ):
        assert site.read(forged) is None, forged
    assert site.read(None) is None


def test_a_player_who_left_the_settings_is_logged_out() -> None:
    """The cookie alone gives no access once the player is no longer one of ours."""
    clock = ManualClock(START)
    cookie = logins(clock).issue("alice")
    assert Logins({"bob": "x"}, "s" * 16, clock).read(cookie) is None
