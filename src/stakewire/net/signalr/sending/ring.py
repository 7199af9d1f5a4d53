"""io_uring through ctypes: many small sends in one system call (io_uring_enter(2), io_uring_setup(2)).

Nothing is compiled. A send that would block is not left to the kernel: it fails at once, like any other on
a socket that does not block, so every request is complete when the system call returns. The results are
compared with what is expected all at once, and looked at one by one only if they differ.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
from array import array
from collections.abc import Sequence
from typing import Final

ENTRIES: Final = 1024
BATCH: Final = 256
"""Sends of one system call: a millisecond's work, and the queues stay in the processor's cache."""

MAX_FRAME: Final = 256 * 1024
"""Bytes; a longer one is for whoever calls to send otherwise."""

_SETUP, _ENTER = 425, 426  # numbers of the system calls, the same on every architecture
_SETUP_CQSIZE, _SINGLE_MMAP, _GETEVENTS = 1 << 3, 1 << 0, 1 << 0
_OFFSET_SQES = 0x1000_0000
_SENDMSG, _SEND = 9, 26
_MAP = mmap.MAP_SHARED | mmap.MAP_POPULATE
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_COUNTER = 0xFFFF_FFFF
# Words of 32 bits: of a request (struct io_uring_sqe) and of a result (struct io_uring_cqe).
_SQE_WORDS, _FD, _ADDRESS, _LENGTH, _SEND_FLAGS, _USER = 16, 1, 4, 6, 7, 8
_CQE_WORDS, _RESULT = 4, 2
# Words of 64 bits: of a message's header and of its three parts.
_MSGHDR_WORDS, _VECTOR_WORDS, _MAX_SLOT = 7, 6, 16

_libc = ctypes.CDLL(None, use_errno=True)


class RingRefused(Exception):
    """No io_uring is to be had: the kernel is too old, or a filter or setting of the system forbids it."""


class Ring:
    """Submission and completion queue of `ENTRIES` requests each, used from one thread.

    Both queues have one size and every request gives one completion, so the two run in step and request and
    result share their index. Requests keep their place for good: only descriptor and length are written.
    """

    def __init__(self, *, parts: bool) -> None:
        """Set the queues up: for messages in three parts, or else for whole frames.

        Raises:
            RingRefused: the system allows none, or not all of what is used here.
        """
        params = (ctypes.c_uint32 * 30)()  # struct io_uring_params; sq_off from word 10 on, cq_off from 20
        params[1], params[2] = ENTRIES, _SETUP_CQSIZE
        self._ring = _libc.syscall(_SETUP, ENTRIES, ctypes.byref(params))
        if self._ring < 0:
            raise RingRefused(os.strerror(ctypes.get_errno()))
        try:
            if not params[5] & _SINGLE_MMAP:
                raise RingRefused("the kernel is too old")
            size = max(params[16] + 4 * ENTRIES, params[25] + 4 * _CQE_WORDS * ENTRIES)
            queues, entries = self._map(size, 0), self._map(4 * _SQE_WORDS * ENTRIES, _OFFSET_SQES)
        except (OSError, ValueError, RingRefused) as error:
            os.close(self._ring)
            raise RingRefused(str(error)) from error
        self._head, self._tail, order = (queues[params[word] // 4 :] for word in (10, 11, 16))
        self._seen, self._come, self._results = (queues[params[word] // 4 :] for word in (20, 21, 25))
        order[:ENTRIES] = array("I", range(ENTRIES))
        self._requests = entries
        self._descriptors = entries[_FD::_SQE_WORDS]
        self._expected = array("I", bytes(4 * _CQE_WORDS * ENTRIES))
        self._length = -1
        self._frame = _Memory(MAX_FRAME)
        self._parts = _Parts(self._frame.address) if parts else None
        self._prepare()

    @property
    def in_parts(self) -> bool:
        """It is for `send_parts`, not for `send`."""
        return self._parts is not None

    def _map(self, size: int, offset: int) -> memoryview:
        return memoryview(mmap.mmap(self._ring, size, flags=_MAP, offset=offset)).cast("I")

    def _prepare(self) -> None:
        """Write what never changes in requests and results."""
        requests, numbers = self._requests, array("I", range(ENTRIES))
        parts = self._parts
        requests[0::_SQE_WORDS] = array("I", [_SEND if parts is None else _SENDMSG]) * ENTRIES
        requests[_LENGTH::_SQE_WORDS] = array("I", [1]) * ENTRIES
        requests[_SEND_FLAGS::_SQE_WORDS] = array("I", [_FLAGS]) * ENTRIES
        requests[_USER::_SQE_WORDS] = numbers
        memoryview(self._expected)[0::_CQE_WORDS] = numbers
        addresses = array("Q", [self._frame.address]) * ENTRIES if parts is None else parts.headers()
        requests.cast("B").cast("Q")[_ADDRESS // 2 :: _SQE_WORDS // 2] = addresses

    def send(self, descriptors: array[int], frame: bytes) -> list[tuple[int, int]]:
        """Send `frame`, at most `MAX_FRAME` bytes, on every socket of `descriptors` (an array of "I").

        Returns:
            Where it did not leave whole: index, and how many bytes did, or a negative errno.
        """
        self._frame.write(frame)
        self._expect(len(frame))
        return self._send_all(descriptors, None)

    def send_parts(
        self, descriptors: array[int], before: bytes, slots: Sequence[bytes], after: bytes
    ) -> list[tuple[int, int]]:
        """Send `before`, each socket's own slot (all of one length), and `after`, as one; see `send`."""
        parts = self._parts
        assert parts is not None
        self._frame.write(before)
        parts.after.write(after)
        parts.set_lengths(len(before), len(slots[0]), len(after))
        self._expect(len(before) + len(slots[0]) + len(after))
        return self._send_all(descriptors, slots)

    def close(self) -> None:
        """Give the queues back; what is sent after that fails for every socket."""
        if self._ring >= 0:
            os.close(self._ring)
            self._ring = -1

    def _expect(self, length: int) -> None:
        if length != self._length:
            self._length = length
            lengths = array("I", [length]) * ENTRIES
            memoryview(self._expected)[_RESULT::_CQE_WORDS] = lengths
            if self._parts is None:
                self._requests[_LENGTH::_SQE_WORDS] = lengths

    def _send_all(self, descriptors: array[int], slots: Sequence[bytes] | None) -> list[tuple[int, int]]:
        failed: list[tuple[int, int]] = []
        done, total = 0, len(descriptors)
        while done < total:
            tail = self._tail[0]
            place = tail % ENTRIES
            count = min(BATCH, total - done, ENTRIES - place)
            self._descriptors[place : place + count] = descriptors[done : done + count]
            if slots is not None:
                assert self._parts is not None
                self._parts.slots.write(b"".join(slots[done : done + count]), place * len(slots[0]))
            self._tail[0] = (tail + count) & _COUNTER
            submitted = self._enter(count)
            failed += self._take(place, submitted, done)
            if submitted < count:
                self._tail[0] = self._head[0]  # the kernel had no room for the others; they are taken back
                failed += [(done + index, -errno.EAGAIN) for index in range(submitted, count)]
            done += count
        return failed

    def _enter(self, count: int) -> int:
        """Submit `count` requests and see them through; how many were taken."""
        submitted = 0
        while submitted < count:
            left = count - submitted
            taken = _libc.syscall(_ENTER, self._ring, left, left, _GETEVENTS, None, 0)
            if taken > 0:
                submitted += taken
            elif taken == 0 or ctypes.get_errno() != errno.EINTR:
                break
        while (self._come[0] - self._seen[0]) & _COUNTER < submitted:
            _libc.syscall(_ENTER, self._ring, 0, 1, _GETEVENTS, None, 0)  # a signal came between
        return submitted

    def _take(self, place: int, count: int, done: int) -> list[tuple[int, int]]:
        """Take the results of the requests from `place` on; return those that are not as expected."""
        first, last = place * _CQE_WORDS, (place + count) * _CQE_WORDS
        results = self._results[first:last].tobytes()
        self._seen[0] = (self._seen[0] + count) & _COUNTER
        if results == self._expected[first:last].tobytes():
            return []
        words = array("i", results)
        return [
            (done + user - place, result)
            for user, result in zip(words[::_CQE_WORDS], words[_RESULT::_CQE_WORDS], strict=True)
            if result != self._length
        ]


class _Memory:
    """Memory whose address the kernel is told once."""

    def __init__(self, size: int) -> None:
        self._held = (ctypes.c_char * size)()
        self._view = memoryview(self._held).cast("B")
        self.address = ctypes.addressof(self._held)

    def write(self, data: bytes, at: int = 0) -> None:
        self._view[at : at + len(data)] = data

    def words(self) -> memoryview:
        """The same memory as 64-bit words."""
        return self._view.cast("Q")


class _Parts:
    """Message headers (struct msghdr), each with three parts (struct iovec): before, slot, after."""

    def __init__(self, before: int) -> None:
        self.after = _Memory(MAX_FRAME)
        self.slots = _Memory(ENTRIES * _MAX_SLOT)
        self._headers = _Memory(ENTRIES * 8 * _MSGHDR_WORDS)
        self._vectors = _Memory(ENTRIES * 8 * _VECTOR_WORDS)
        headers, vectors = self._headers.words(), self._vectors.words()
        vectors_at = self._vectors.address
        headers[2::_MSGHDR_WORDS] = array(
            "Q", range(vectors_at, vectors_at + ENTRIES * 8 * _VECTOR_WORDS, 8 * _VECTOR_WORDS)
        )
        headers[3::_MSGHDR_WORDS] = array("Q", [3]) * ENTRIES
        vectors[0::_VECTOR_WORDS] = array("Q", [before]) * ENTRIES
        vectors[4::_VECTOR_WORDS] = array("Q", [self.after.address]) * ENTRIES
        self._lengths = (0, 0, 0)

    def headers(self) -> array[int]:
        """The address of each header."""
        at, step = self._headers.address, 8 * _MSGHDR_WORDS
        return array("Q", range(at, at + ENTRIES * step, step))

    def set_lengths(self, before: int, slot: int, after: int) -> None:
        """The lengths of the three parts, of every message."""
        if self._lengths == (before, slot, after):
            return
        self._lengths = (before, slot, after)
        vectors, at = self._vectors.words(), self.slots.address
        vectors[1::_VECTOR_WORDS] = array("Q", [before]) * ENTRIES
        vectors[2::_VECTOR_WORDS] = array("Q", range(at, at + ENTRIES * slot, slot))
        vectors[3::_VECTOR_WORDS] = array("Q", [slot]) * ENTRIES
        vectors[5::_VECTOR_WORDS] = array("Q", [after]) * ENTRIES
