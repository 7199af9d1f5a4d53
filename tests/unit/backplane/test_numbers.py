"""Numbers around the messages between hub processes: loss and repetition are noticed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.errors import InvalidInput, Unavailable
from stakewire.testing.ids import SeededTokens
from stakewire.wire.backplane.numbers import MAX_BODY, Arrival, Arrivals, Foreign, Outgoing


def _outgoing(seed: int = 1, *, max_messages: int = 100, max_bytes: int = 1 << 20) -> Outgoing:
    return Outgoing(SeededTokens(seed), max_messages=max_messages, max_bytes=max_bytes)


def _messages(*bodies: bytes, seed: int = 1) -> list[bytes]:
    outgoing = _outgoing(seed)
    for body in bodies:
        outgoing.put(body)
    return outgoing.first(max_messages=len(bodies), max_bytes=1 << 20)


def test_what_arrives_in_order_is_new_and_whole() -> None:
    """Bodies come out as they were put in."""
    arrivals = Arrivals()
    assert [arrivals.take(one) for one in _messages(b"a", b"b")] == [
        Arrival(False, b"a"),
        Arrival(False, b"b"),
    ]


def test_a_missing_message_is_noticed_at_the_next_one() -> None:
    """And that one is handed on."""
    arrivals = Arrivals()
    first, _, third = _messages(b"a", b"b", b"c")
    arrivals.take(first)
    assert arrivals.take(third) == Arrival(True, b"c")


def test_a_missing_last_message_is_noticed_at_the_beat() -> None:
    """Once; the next beat finds nothing missing."""
    outgoing, arrivals = _outgoing(), Arrivals()
    outgoing.put(b"a")
    outgoing.put(b"b")
    arrivals.take(outgoing.first(max_messages=1, max_bytes=100)[0])
    assert arrivals.take(outgoing.beat()) == Arrival(True, None)
    assert arrivals.take(outgoing.beat()) == Arrival(False, None)


def test_publishers_are_judged_apart() -> None:
    """One that starts anew is another publisher."""
    arrivals = Arrivals()
    for message in (*_messages(b"a", b"b", seed=1), *_messages(b"c", seed=2)):
        assert not arrivals.take(message).missed


def test_a_publisher_silent_for_longest_is_forgotten_first() -> None:
    """What is remembered of publishers has a bound."""
    arrivals = Arrivals(max_publishers=2)
    old = _messages(b"a", b"b", b"c", seed=1)
    arrivals.take(old[0])
    for seed in (2, 3):
        arrivals.take(_messages(b"x", seed=seed)[0])
    assert arrivals.take(old[2]) == Arrival(False, b"c")  # believed, as at the first time


@given(st.lists(st.integers(1, 9), max_size=40))
def test_nothing_comes_twice_and_no_gap_is_silent(numbers: list[int]) -> None:
    """Whatever subset arrives, in order with repetitions: each body at most once, each gap reported."""
    sent = _messages(*(bytes([n]) for n in range(1, 10)))
    arrivals, seen, reported = Arrivals(), [], 0
    for number in numbers:
        arrival = arrivals.take(sent[number - 1])
        reported += arrival.missed
        if arrival.body is not None:
            seen.append(arrival.body[0])
    assert seen == sorted(set(seen))
    gaps = sum(1 for before, after in itertools.pairwise(seen) if after != before + 1)
    assert reported == gaps


@pytest.mark.parametrize("data", [b"", b"\x01short", b"\x02" + bytes(24) + b"x"])
def test_bytes_of_others_are_told_apart(data: bytes) -> None:
    """Somebody else on the same subject does no harm."""
    with pytest.raises(Foreign):
        Arrivals().take(data)


def test_what_waits_has_a_bound_in_messages_and_in_bytes() -> None:
    """Beyond it a message is refused, not forgotten; room comes back with what is written."""
    few, small = _outgoing(max_messages=2), _outgoing(max_bytes=10)
    few.put(b"a")
    few.put(b"b")
    with pytest.raises(Unavailable, match="2 messages wait"):
        few.put(b"c")
    few.written(1)
    few.put(b"c")
    small.put(b"123456")
    with pytest.raises(Unavailable):
        small.put(b"12345")
    small.written(1)
    small.put(b"1234567890")


def test_a_refused_message_takes_no_number() -> None:
    """Or its readers would look for it."""
    outgoing, arrivals = _outgoing(max_messages=1), Arrivals()
    outgoing.put(b"a")
    with pytest.raises(Unavailable):
        outgoing.put(b"b")
    arrivals.take(outgoing.first(max_messages=9, max_bytes=99)[0])
    outgoing.written(1)
    outgoing.put(b"c")
    assert arrivals.take(outgoing.first(max_messages=9, max_bytes=99)[0]) == Arrival(False, b"c")


@pytest.mark.parametrize("length", [0, MAX_BODY + 1])
def test_a_message_has_a_length(length: int) -> None:
    """Too long is the caller's fault, at once."""
    with pytest.raises(InvalidInput, match="bytes"):
        _outgoing(max_bytes=1 << 30).put(bytes(length))


def test_a_batch_is_bounded_but_never_empty() -> None:
    """One message that is longer than a batch still goes."""
    outgoing = _outgoing()
    for body in (bytes(500), b"a", b"b", b"c"):
        outgoing.put(body)
    assert len(outgoing.first(max_messages=10, max_bytes=100)) == 1
    outgoing.written(1)
    assert len(outgoing.first(max_messages=2, max_bytes=1000)) == 2
    assert len(outgoing) == 3


def test_a_publisher_knows_its_own() -> None:
    """Messages and beats that come back to it, and none of others."""
    outgoing, other = _outgoing(1), _outgoing(2)
    outgoing.put(b"a")
    other.put(b"b")
    assert [
        outgoing.knows(one) for one in (*outgoing.first(max_messages=1, max_bytes=99), outgoing.beat())
    ] == [1, 1]
    assert outgoing.knows(other.beat()) is None
