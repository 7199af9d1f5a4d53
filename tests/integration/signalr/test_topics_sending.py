"""Claims about io_uring: what it reports of sockets that do not take everything, and when it is not used."""

from __future__ import annotations

import errno
import os
import socket
from array import array
from collections.abc import Iterator

import pytest

from stakewire.net.signalr.sending import DIRECT, best_sender, ring, uring
from stakewire.net.signalr.sending.ring import BATCH, ENTRIES, Ring, RingRefused

Pairs = list[tuple[socket.socket, socket.socket]]


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    """More sockets than fit into a batch, near and far end of each."""
    made = [socket.socketpair() for _ in range(BATCH + 44)]
    for near, far in made:
        near.setblocking(False)
        far.setblocking(False)
    yield made
    for near, far in made:
        near.close()
        far.close()


@pytest.fixture(params=["whole", "parts"])
def queue(request: pytest.FixtureRequest) -> Iterator[Ring]:
    try:
        made = Ring(parts=request.param == "parts")
    except RingRefused as refused:
        pytest.skip(f"no io_uring here: {refused}")
    yield made
    made.close()


def send(queue: Ring, pairs: Pairs, length: int) -> tuple[list[bytes], list[tuple[int, int]]]:
    """Send a frame of about this length to all; what each ought to get, and what the ring reports."""
    descriptors = array("I", [near.fileno() for near, _ in pairs])
    frame = os.urandom(length)
    if queue.in_parts:
        slots = [b"%10d" % number for number in range(len(pairs))]
        return [frame + slot + frame for slot in slots], queue.send_parts(descriptors, frame, slots, frame)
    return [frame] * len(pairs), queue.send(descriptors, frame)


def test_everything_arrives_however_often_the_queue_goes_round(queue: Ring, pairs: Pairs) -> None:
    """Lengths change from one message to the next, and the last batch of each is a short one."""
    for length in (1, 2_714, 100, 100, 9_000) * (ENTRIES // len(pairs) + 1):
        wanted, failed = send(queue, pairs, length)
        assert failed == []
        assert [far.recv(1 << 16) for _, far in pairs] == wanted


def test_full_and_closed_sockets_are_reported_and_no_other(queue: Ring, pairs: Pairs) -> None:
    """By index and reason; a short send by how many bytes have left."""
    full, gone = 7, BATCH + 3
    with pytest.raises(BlockingIOError):
        while True:
            pairs[full][0].send(b"x" * 4_096)
    pairs[gone][1].close()
    wanted, failed = send(queue, pairs, 500)
    assert dict(failed) == {full: -errno.EAGAIN, gone: -errno.EPIPE}
    for index, (_, far) in enumerate(pairs):
        if index not in (full, gone):
            assert far.recv(1 << 16) == wanted[index]
    _, failed = send(queue, pairs[:full], 100_000)
    assert all(0 < sent < 200_010 or sent == -errno.EAGAIN for _, sent in failed)


def test_a_closed_ring_sends_nothing(queue: Ring, pairs: Pairs) -> None:
    """Everything is reported, so that the transports send it."""
    queue.close()
    _, failed = send(queue, pairs, 10)
    assert [index for index, _ in failed] == list(range(len(pairs)))


def test_where_io_uring_is_forbidden_each_socket_has_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers forbid it; the choice is made at the start, without a word."""

    def forbidden(parts: bool) -> Ring:
        raise RingRefused("Operation not permitted")

    monkeypatch.setattr(uring, "Ring", forbidden)
    assert best_sender() is DIRECT


def test_the_systems_refusal_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the system call answers."""

    class Libc:
        def syscall(self, *arguments: object) -> int:
            return -1

    monkeypatch.setattr(ring, "_libc", Libc())
    with pytest.raises(RingRefused):
        Ring(parts=False)
