"""Envelopes between hub processes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from stakewire.errors import InvalidInput
from stakewire.wire.backplane.envelope import (
    Ask,
    Envelope,
    Regroup,
    Send,
    StatesWanted,
    Told,
    TopicEvent,
    TopicState,
    UnknownEnvelope,
    pack,
    unpack,
)


@pytest.mark.parametrize(
    "envelope",
    [
        Send("groups", ["a"], ["c1"], "Move", [1, "x", None, {"k": [1.5]}, b"\x00"]),
        Regroup("c1", "a", True),
        TopicState("odds", 17, [1], "p1"),
        TopicEvent("chat", []),
        StatesWanted("p1"),
        Ask("p1", 1, "c1", "Name", ["x"], 5.0),
        Told("p1", 1, {"a": 1}),
        Told("p1", 1, code="CLIENT_TIMED_OUT", error="no answer"),
    ],
)
def test_an_envelope_arrives_as_it_was_sent(envelope: Envelope) -> None:
    """Every kind, with plain arguments."""
    assert unpack(pack(envelope)) == envelope


def test_arguments_become_what_they_are_on_the_wire_to_clients() -> None:
    """Structs maps, decimals texts; an aware time keeps its instant."""

    class Odds(msgspec.Struct):
        price: Decimal
        at: datetime

    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    [odds] = _arguments(Odds(Decimal("1.50"), at))
    assert odds == {"price": "1.50", "at": at}
    assert msgspec.json.encode(odds) == msgspec.json.encode(Odds(Decimal("1.50"), at))


def _arguments(*arguments: Any) -> Any:
    envelope = unpack(pack(Send("all", (), (), "T", arguments)))
    assert isinstance(envelope, Send)
    return envelope.arguments


def test_what_cannot_be_sent_is_refused_before_it_is_queued() -> None:
    """An argument that has no form on the wire is the caller's mistake."""
    with pytest.raises(InvalidInput, match="cannot be sent"):
        pack(Send("all", (), (), "T", [object()]))


def test_newer_processes_are_understood_as_far_as_possible() -> None:
    """Further fields are passed over; a kind that this version does not know is named as that."""
    assert unpack(msgspec.msgpack.encode([5, "p1", "a later field"])) == StatesWanted("p1")
    for data in (msgspec.msgpack.encode([99, "x"]), b"", b"\xc1", msgspec.msgpack.encode([1, 2])):
        with pytest.raises(UnknownEnvelope):
            unpack(data)
