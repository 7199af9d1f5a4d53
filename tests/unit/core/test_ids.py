"""Claims about ids, tokens, clocks and errors."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire import errors
from stakewire.clock import Clock, SystemClock
from stakewire.errors import StakewireError, Unavailable
from stakewire.ids import OwnIds, SystemTokens, Tokens, slot_of
from stakewire.testing import ManualClock, SeededTokens


@pytest.mark.parametrize(
    ("user", "slot"),
    [("u-7", 626), ("alice", 175), ("Ωμέγα", 208), ("🎲", 170), ("Rene\u0301", 195), ("Ren\u00e9", 191)],
)
def test_slots_are_frozen(user: str, slot: int) -> None:
    """These numbers are in the databases of users: a change of the formula would lose their rows."""
    assert slot_of(user) == slot


@given(st.text(min_size=1))
def test_slot_formula(user: str) -> None:
    """The first 8 bytes of SHA-256 of the name in UTF-8, big-endian, mod 1,024."""
    assert slot_of(user) == int(hashlib.sha256(user.encode()).hexdigest()[:16], 16) % 1024


def test_own_ids_are_ordered_and_apart() -> None:
    """Ids of one writer rise; ids of two writers never meet; all fit a bigint."""
    first, second = OwnIds(1), OwnIds(2)
    ids = [first.next() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert max(ids) < second.next()
    assert OwnIds((1 << 23) - 1).next() < 1 << 63


def test_own_ids_end() -> None:
    """A writer that used its 2**40 ids stops instead of running into its neighbour's."""
    ids = OwnIds(1)
    ids._next = ids._last
    assert ids.next() == (2 << 40) - 1
    with pytest.raises(Unavailable, match="restart"):
        ids.next()


@pytest.mark.parametrize("writer", [0, -1, 1 << 23])
def test_writer_numbers_have_bounds(writer: int) -> None:
    """A writer number that does not fit would make ids that no bigint holds."""
    with pytest.raises(ValueError, match="writer number"):
        OwnIds(writer)


@pytest.mark.parametrize("tokens", [SystemTokens(), SeededTokens(1)], ids=["system", "seeded"])
def test_tokens(tokens: Tokens) -> None:
    """Tokens are URL-safe, hold the bytes asked for, and differ."""
    found = {tokens.token(16) for _ in range(100)}
    assert len(found) == 100
    for token in found:
        assert len(token) == 22
        assert token.replace("-", "a").replace("_", "a").isalnum() and token.isascii()


def test_a_seed_repeats_its_tokens() -> None:
    """Two runs of one seed see the same tokens."""
    assert [SeededTokens(7).token(8) for _ in range(2)] == [SeededTokens(7).token(8) for _ in range(2)]
    assert SeededTokens(7).token(8) != SeededTokens(8).token(8)


def test_manual_clock() -> None:
    """Time moves by hand; the wall clock may jump, the monotonic one does not."""
    clock = ManualClock(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    start = clock.monotonic()
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    clock.advance(90.5)
    assert clock.now() == datetime(2026, 1, 1, 0, 1, 30, 500_000, tzinfo=UTC)
    assert clock.monotonic() == start + 90.5
    clock.set_wall_clock(datetime(2020, 1, 1, tzinfo=UTC))
    assert clock.now().year == 2020
    assert clock.monotonic() == start + 90.5
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001 - a naive time is what is refused


def test_system_clock() -> None:
    """The machine's clock is aware, in UTC."""
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()


def test_each_error_has_its_own_exit_code() -> None:
    """Programs tell errors apart by exit code and HTTP status; only Unavailable may be tried again."""
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StakewireError)
    ]
    assert sorted(kind.exit_code for kind in kinds) == list(range(1, 9))
    assert [kind for kind in kinds if kind.retryable] == [Unavailable]
    assert all(kind.default_code.isupper() and 400 <= kind.http_status <= 599 for kind in kinds)


def test_an_error_carries_its_code() -> None:
    """The class gives a code, the raiser may give a closer one; the text is the message."""
    assert Unavailable("the database is away").code == "UNAVAILABLE"
    error = Unavailable("the database is away", code="DATABASE_AWAY")
    assert (error.code, error.message, str(error)) == (
        "DATABASE_AWAY",
        "the database is away",
        "the database is away",
    )
