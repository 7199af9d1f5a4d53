"""Claims about stateful reconnect: the vectors, and two ends whose line is cut anywhere, also in replays."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakewire.testing.vectors import read_vectors
from stakewire.wire.signalr.errors import ProtocolError
from stakewire.wire.signalr.messages import Ack, Invocation, Ping, Sequence
from stakewire.wire.signalr.sequence import ReceiveLog, SendLog

VECTORS = read_vectors(Path(__file__).parents[3] / "vectors/signalr/sequence.json")
TRACKED = Invocation("T", [])


def take(log: SendLog | ReceiveLog, step: list[Any]) -> list[Any]:
    """Take one step of the vectors; give it back as it really was."""
    match log, step:
        case SendLog(), ["sent", frame]:
            log.sent(frame.encode())
        case SendLog(), ["acked", number]:
            log.acked(number)
        case SendLog(), ["resume", *_]:
            first, frames = log.resume()
            return ["resume", first, [frame.decode() for frame in frames]]
        case SendLog(), ["full", _]:
            return ["full", log.full]
        case ReceiveLog(), ["got", _]:
            return ["got", log.accept(TRACKED)]
        case ReceiveLog(), ["ping", _]:
            return ["ping", log.accept(Ping())]
        case ReceiveLog(), ["reconnected"]:
            log.reconnected()
        case ReceiveLog(), ["sequence", number]:
            assert not log.accept(Sequence(number))
        case ReceiveLog(), ["ack", _]:
            return ["ack", log.take_ack()]
        case _:
            raise AssertionError(f"no such step: {step}")
    return step


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTORS])
def test_vectors(case: dict[str, Any]) -> None:
    """Every step of the vectors does what they say."""
    log = SendLog(10) if "sends" in case else ReceiveLog()
    for step in case.get("sends") or case["receives"]:
        if step[0] == "fails":
            with pytest.raises(ProtocolError):
                take(log, step[1:])
        else:
            assert take(log, step) == step


class OurEnd:
    """An end made of our two logs."""

    def __init__(self, send_log: type[SendLog] = SendLog) -> None:
        self.sends, self.receives = send_log(), ReceiveLog()
        self.got: list[int] = []

    def sent(self, number: int) -> None:
        self.sends.sent(b"%d" % number)

    def take(self, message: int | Ack | Sequence) -> None:
        """Deal with one thing that arrived: a tracked message is a plain number."""
        if not self.receives.accept(TRACKED if isinstance(message, int) else message):
            return
        if isinstance(message, Ack):
            self.sends.acked(message.sequence_id)
        elif isinstance(message, int):
            self.got.append(message)

    def due_ack(self) -> Ack | None:
        number = self.receives.take_ack()
        return None if number is None else Ack(number)

    def reconnect(self) -> list[int | Ack | Sequence]:
        self.receives.reconnected()
        first, frames = self.sends.resume()
        return [Sequence(first), *(int(frame) for frame in frames)]


class OfficialEnd:
    """The message buffer of the official JavaScript client, which acknowledges early within a replay."""

    def __init__(self) -> None:
        self.buffer: deque[tuple[int, int]] = deque()
        self.total = self.latest = 0
        self.next_id = 1
        self.waits = self.ack_due = False
        self.got: list[int] = []

    def sent(self, number: int) -> None:
        self.total += 1
        self.buffer.append((self.total, number))

    def take(self, message: int | Ack | Sequence) -> None:
        if self.waits and not isinstance(message, Sequence):
            return
        if isinstance(message, Sequence):
            self.waits = False
            if message.sequence_id > self.next_id:
                raise ProtocolError("Sequence ID greater than amount of messages we've received.")
            self.next_id = message.sequence_id
        elif isinstance(message, Ack):
            while self.buffer and self.buffer[0][0] <= message.sequence_id:
                self.buffer.popleft()
        else:
            number, self.next_id = self.next_id, self.next_id + 1
            if number >= self.latest:
                self.ack_due = True
            if number > self.latest:
                self.latest = number
                self.got.append(message)

    def due_ack(self) -> Ack | None:
        due, self.ack_due = self.ack_due, False
        return Ack(self.latest) if due else None

    def reconnect(self) -> list[int | Ack | Sequence]:
        self.waits = True
        first = self.buffer[0][0] if self.buffer else self.total + 1
        return [Sequence(first), *(number for _, number in self.buffer)]


class Line:
    """Two ends and what is under way between them; nothing arrives that a cut caught."""

    def __init__(self, near: OurEnd, far: OurEnd | OfficialEnd) -> None:
        self.ends = (near, far)
        self.under_way: tuple[deque[int | Ack | Sequence], ...] = (deque(), deque())  # from each end
        self.said: tuple[list[int], list[int]] = ([], [])
        self.up = True

    def act(self, action: str, side: int) -> None:
        end, way = self.ends[side], self.under_way[side]
        if action == "say":
            number = len(self.said[side])
            self.said[side].append(number)
            end.sent(number)
            if self.up:
                way.append(number)
        elif action == "cut":
            self.up = False
            for caught in self.under_way:
                caught.clear()
        elif action == "reconnect":
            self.act("cut", side)
            self.up = True
            for each, its_way in zip(self.ends, self.under_way, strict=True):
                its_way.extend(each.reconnect())
        elif action == "ack" and self.up:
            ack = end.due_ack()
            if ack is not None:
                way.append(ack)
        elif action == "deliver" and way:
            self.ends[1 - side].take(way.popleft())

    def finish(self) -> None:
        """Bring everything home over a last line that is not cut."""
        self.act("reconnect", 0)
        for side in (0, 1):
            self.act("say", side)
        for _ in range(3):
            for side in (0, 1):
                while self.under_way[side]:
                    self.act("deliver", side)
                self.act("ack", side)

    def check(self) -> None:
        for side in (0, 1):
            assert self.ends[1 - side].got == self.said[side]


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "deliver", "deliver", "deliver", "ack", "ack", "cut", "reconnect"]),
        st.integers(0, 1),
        st.integers(1, 4),
    ),
    max_size=60,
)


def run(line: Line, actions: list[tuple[str, int, int]]) -> None:
    """Let it happen, and then check that each end got what the other said: all, once, in order."""
    for action, side, times in actions:
        for _ in range(times):
            line.act(action, side)
    line.finish()
    line.check()


@settings(max_examples=200)
@given(ACTIONS)
def test_two_of_our_ends_lose_and_double_nothing(actions: list[tuple[str, int, int]]) -> None:
    """Wherever the line is cut, each end gets everything once, in order; in the end nothing is kept."""
    near, far = OurEnd(), OurEnd()
    run(Line(near, far), actions)
    for end in (near, far):
        assert end.sends.resume()[1] == []


@settings(max_examples=200)
@given(ACTIONS)
def test_the_official_client_never_has_to_stop(actions: list[tuple[str, int, int]]) -> None:
    """The same against the official client, which acknowledges early: no Sequence is too high for it."""
    run(Line(OurEnd(), OfficialEnd()), actions)


class TrustingSendLog(SendLog):
    """A planted bug: forgets whatever is acknowledged, as if no acknowledgement came early."""

    __slots__ = ()

    def resume(self) -> tuple[int, list[bytes]]:
        replay = super().resume()
        self._replayed = 0
        return replay


EARLY = [
    *(("say", 0), ("say", 0), ("say", 0), ("deliver", 0), ("deliver", 0), ("deliver", 0)),
    *(("reconnect", 0), ("deliver", 0), ("deliver", 0), ("ack", 1), ("deliver", 1), ("deliver", 1)),
]


def test_the_model_sees_a_planted_bug() -> None:
    """A sender that trusts early acknowledgements makes the official client stop, and ours does not."""
    actions = [(action, side, 1) for action, side in EARLY]
    run(Line(OurEnd(), OfficialEnd()), actions)
    with pytest.raises(ProtocolError, match="greater than"):
        run(Line(OurEnd(TrustingSendLog), OfficialEnd()), actions)


@pytest.mark.parametrize("delivered", range(7))
@pytest.mark.parametrize("delivered_again", range(7))
def test_cuts_at_every_message_of_two_replays(delivered: int, delivered_again: int) -> None:
    """Five messages, a replay cut after any part of it with an early acknowledgement, and another such."""
    line = Line(OurEnd(), OfficialEnd())
    run(
        line,
        [
            ("say", 0, 5),
            ("deliver", 0, 5),
            ("reconnect", 0, 1),
            ("deliver", 0, delivered),
            ("ack", 1, 1),
            ("deliver", 1, 2),
            ("say", 0, 1),
            ("reconnect", 0, 1),
            ("deliver", 0, delivered_again),
            ("ack", 1, 1),
            ("deliver", 1, 2),
        ],
    )


def test_what_is_kept_is_bounded() -> None:
    """Replays cut off again and again cannot make the log grow: it says when resuming has no hope."""
    log = SendLog(max_bytes=100)
    rounds = 0
    while not log.hopeless:
        while not log.full:
            log.sent(b"0123456789")
        log.resume()
        rounds += 1
        log.acked(log.resume()[0] + len(log.resume()[1]) - 1)
        assert rounds < 10
    assert sum(map(len, log.resume()[1])) <= 330


def test_a_healthy_session_is_never_hopeless() -> None:
    """What is acknowledged counts no more, reconnects and all, however long the session."""
    log = SendLog(max_bytes=100)
    for number in range(1, 1000):
        log.sent(b"0123456789")
        log.acked(number)
        if number % 10 == 0:
            log.resume()
        assert not log.hopeless
        assert not log.full
    assert log.resume() == (1000, [])
