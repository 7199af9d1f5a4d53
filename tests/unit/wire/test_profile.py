"""Claims about profiles: what partners do differently, as a TOML file."""

from __future__ import annotations

import pytest

from stakewire.errors import InvalidInput
from stakewire.wire.sportsbook.profile import Profile


def test_the_default_is_the_contract() -> None:
    """An empty file is the contract's own reading: waits of 0 s to 30 min, then hourly for 7 days."""
    profile = Profile.from_toml("")
    assert profile == Profile()
    assert profile.retry_schedule[:7] == (0, 1, 5, 30, 120, 600, 1800)
    assert set(profile.retry_schedule[7:]) == {3600}
    assert sum(profile.retry_schedule[7:]) == 7 * 24 * 3600
    assert profile.bet_timeout == 5
    assert profile.hash_header_names() == (b"x-security-hash", b"x-securty-hash")


def test_every_key_can_be_set() -> None:
    """Each field of the contract's first paragraph is a key; waits may carry units and repeats."""
    profile = Profile.from_toml(
        """
        altered_replay = "refuse"
        bad_signature_status = 401
        unknown_rollback = "refuse"
        rollback_of_result = "refuse"
        hash_headers = ["X-Hash"]
        bet_timeout = 2.5
        retry_schedule = [0, "5s", "2m", "1.5h", "1h x 3"]
        """
    )
    assert profile == Profile(
        altered_replay="refuse",
        bad_signature_status=401,
        unknown_rollback="refuse",
        rollback_of_result="refuse",
        hash_headers=("X-Hash",),
        bet_timeout=2.5,
        retry_schedule=(0, 5, 120, 5400, 3600, 3600, 3600),
    )
    assert Profile.from_mapping(profile.as_mapping()) == profile


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("altered_reply = 'refuse'", "`altered_reply`"),
        ("altered_replay = 'maybe'", "`altered_replay`"),
        ("altered_replay = ['refuse']", "`altered_replay`"),
        ("bad_signature_status = 403", "`bad_signature_status`"),
        ("bad_signature_status = '200'", "`bad_signature_status`"),
        ("bad_signature_status = true", "`bad_signature_status`"),
        ("unknown_rollback = 'allow_negative'", "`unknown_rollback`"),
        ("rollback_of_result = 1", "`rollback_of_result`"),
        ("hash_headers = []", "`hash_headers`"),
        ("hash_headers = 'X-Hash'", "`hash_headers`"),
        ("hash_headers = ['X Hash']", "'X Hash'"),
        ("hash_headers = ['X-Hash:']", "'X-Hash:'"),
        ("hash_headers = ['X-Hash', 'x-hash']", "twice"),
        ("bet_timeout = 0", "`bet_timeout`"),
        ("bet_timeout = 61", "`bet_timeout`"),
        ("bet_timeout = '5s x 2'", "`bet_timeout`"),
        ("bet_timeout = nan", "`bet_timeout`"),
        ("bet_timeout = true", "`bet_timeout`"),
        ("retry_schedule = []", "`retry_schedule`"),
        ("retry_schedule = 5", "`retry_schedule`"),
        ("retry_schedule = [-1]", "`retry_schedule`"),
        ("retry_schedule = [inf]", "`retry_schedule`"),
        ("retry_schedule = ['8 days']", "'8 days'"),
        ("retry_schedule = [604801]", "over 7 days"),
        ("retry_schedule = ['1s x 1001']", "1 to 1000 attempts"),
        ("[nested]\nx = 1", "`nested`"),
        ("bet_timeout", "not TOML"),
    ],
)
def test_a_wrong_file_names_its_key(text: str, named: str) -> None:
    """A wrong profile is refused with the key that is wrong, before it costs money."""
    with pytest.raises(InvalidInput) as caught:
        Profile.from_toml(text)
    assert named in caught.value.message
