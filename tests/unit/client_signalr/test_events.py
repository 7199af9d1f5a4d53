"""Claims about the reader of server-sent events."""

from __future__ import annotations

import pytest

from stakewire.client.signalr.links.events import EventReader, EventTooLarge

STREAM = (
    b":\r\n\r\n"
    b'data: {"type":6}\x1e\r\n\r\n'
    b": a comment\ndata:first\ndata: second\nid: 7\nevent: odd\n\n"
    b"data: \xc3\xa9\r\r"
    b"\n\n"
    b"data\n\n"
)
EVENTS = [b'{"type":6}\x1e', b"first\nsecond", b"\xc3\xa9", b""]


def test_events_are_what_the_standard_says() -> None:
    """All three line ends, comments and other fields passed over, several lines of data joined."""
    assert EventReader(1000).feed(STREAM) == EVENTS


@pytest.mark.parametrize("size", range(1, 12))
def test_pieces_may_end_anywhere(size: int) -> None:
    """Also between the two halves of a line end."""
    reader = EventReader(1000)
    found = [event for at in range(0, len(STREAM), size) for event in reader.feed(STREAM[at : at + size])]
    assert found == EVENTS


def test_an_event_is_bounded() -> None:
    """In one line or many, complete or not."""
    for endless in (b"data: " + b"x" * 20, b"data: 12345\n" * 3, b": " + b"x" * 20):
        with pytest.raises(EventTooLarge):
            EventReader(12).feed(endless)
