"""What is said on one connection: handshake, messages, keep-alive, resumption. Bytes in, messages out.

No socket and no clock: bytes and times (seconds of one monotonic clock) are handed in. One session lives as
long as its connection on the server; with stateful reconnect several transports carry it in turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from stakewire.client.signalr.errors import BadAnswer, NotSupported, ServerAway
from stakewire.client.signalr.options import ClientOptions
from stakewire.wire.signalr.errors import ProtocolError
from stakewire.wire.signalr.handshake import HandshakeRequest, read_answer, write_request
from stakewire.wire.signalr.messages import Ack, Close, HubMessage, Ping, Sequence, is_tracked
from stakewire.wire.signalr.protocol import HubProtocol
from stakewire.wire.signalr.sequence import ReceiveLog, SendLog
from stakewire.wire.signalr.splitters import Splitter

_ACK_SECONDS = 1.0  # the rhythm of the stock clients
_ACK_BYTES = 24_000  # sooner after a quarter of their buffer, so that a fast sender need not wait for us
_NEVER = float("inf")


class Session:
    """See the module. Every method must be called from one task at a time."""

    def __init__(
        self, protocol: HubProtocol, options: ClientOptions, *, stateful: bool, inherent_keep_alive: bool
    ) -> None:
        """`stateful`: it was agreed on. `inherent_keep_alive`: no pings and no timeout are needed."""
        self.protocol = protocol
        self.stateful = stateful
        self.open = False
        """The server has accepted the handshake, on this transport or an earlier one."""
        self.live = False
        """The present transport carries messages: the handshake is done, or the server's Sequence came."""
        self._options = options
        self._pings = not inherent_keep_alive
        self._log = SendLog(options.max_unacknowledged_bytes) if stateful else None
        self._seen = ReceiveLog() if stateful else None
        self._splitter: Splitter = protocol.splitter(options.max_message_bytes)
        self._outgoing: deque[bytes] = deque()
        self._outgoing_bytes = 0
        self._attached = False
        self._reading = True
        self._sent_at = self._received_at = 0.0
        self._handshake_by = _NEVER
        self._handshake = b""
        self._ack_at = _NEVER
        self._unacked_bytes = 0

    # Transports come and go

    def attach(self, now: float) -> None:
        """A transport is open: the handshake goes out, or what a resumed one needs.

        Resumed (section 10): our Sequence and whatever the server has not acknowledged; all that comes before
        its Sequence is ignored.
        """
        self._attached = True
        self._reading = True
        self._sent_at = self._received_at = now
        self._splitter = self.protocol.splitter(self._options.max_message_bytes)
        self._handshake_by = now + self._options.handshake_seconds
        if not self.open:
            version = 2 if self.stateful else 1
            self._queue(write_request(HandshakeRequest(self.protocol.name, version)))
            return
        assert self._log is not None
        assert self._seen is not None
        self._seen.reconnected()
        first, frames = self._log.resume()
        self._queue(self.protocol.write(Sequence(first)))
        for frame in frames:
            self._queue(frame)

    def detach(self) -> None:
        """The transport is gone: what was queued for it is dropped, since a resumption replays it."""
        self._attached = self.live = False
        self._outgoing.clear()
        self._outgoing_bytes = 0

    @property
    def resumable(self) -> bool:
        """Whether another transport may carry it on."""
        return self.open and self._log is not None and not self._log.hopeless

    # From the server

    def receive(self, data: bytes, now: float) -> Iterator[HubMessage]:
        """The messages that `data` completes, for the user: types 1 to 5, and Close.

        A message counts as received when it is given out; what is not taken from the iterator is not.

        Raises:
            BadAnswer: the server broke the protocol.
            NotSupported: it refused the handshake.
        """
        self._received_at = now
        try:
            if not self.open:
                rest = self._shake_hands(data)
                if rest is None:
                    return
                data = rest
            for record in self._splitter.feed(data):
                message = self.protocol.parse(record)
                if message is not None and self._accept(message, len(record), now):
                    yield message
        except ProtocolError as error:
            raise BadAnswer(f"the server broke the protocol: {error.message}") from error

    def _shake_hands(self, data: bytes) -> bytes | None:
        self._handshake += data
        read = read_answer(self._handshake)
        if read is None:
            return None
        answer, rest = read
        if answer.error is not None:
            raise NotSupported(f"the server refused the handshake: {answer.error}", code="HANDSHAKE_REFUSED")
        self._handshake, self._handshake_by = b"", _NEVER
        self.open = self.live = True
        if self._pings:
            self._queue(self.protocol.write(Ping()))  # some servers watch only over clients that have pinged
        return rest

    def _accept(self, message: HubMessage, size: int, now: float) -> bool:
        if self._seen is not None:
            fresh = self._seen.accept(message)
            if isinstance(message, Sequence):
                self.live, self._handshake_by = True, _NEVER
            if is_tracked(message):
                self._unacked_bytes += size
                due = now if self._unacked_bytes >= _ACK_BYTES else now + _ACK_SECONDS
                self._ack_at = min(self._ack_at, due)
            if not fresh:
                return False
        if isinstance(message, Ack):
            if self._log is not None:
                self._log.acked(message.sequence_id)
            return False
        return not isinstance(message, Ping | Sequence)

    def reading(self, reads: bool, now: float) -> None:
        """While this side does not read, silence says nothing about the server."""
        self._reading = reads
        self._received_at = now

    # To the server

    @property
    def has_room(self) -> bool:
        """Whether another message may be written; if not, wait for `take` or for an acknowledgement."""
        unacknowledged = self._log is not None and self._log.full
        return not unacknowledged and self._outgoing_bytes < self._options.max_unsent_bytes

    @property
    def unsent(self) -> bool:
        """Whether `take` would give something."""
        return bool(self._outgoing)

    @property
    def crowded(self) -> bool:
        """So much is unsent that nothing more should be read which may have to be answered."""
        return self._outgoing_bytes > 2 * self._options.max_unsent_bytes

    def write(self, message: HubMessage) -> None:
        """Queue a message; with stateful reconnect it may also be written between two transports.

        Raises:
            NotWritable: a value in it cannot be encoded; nothing was queued.
        """
        frame = self.protocol.write(message)
        if self._log is not None and is_tracked(message):
            self._log.sent(frame)
        if self._attached:
            self._queue(frame)

    def take(self, max_bytes: int, now: float) -> bytes:
        """Whole messages to send next, at least one if any waits, else empty; about `max_bytes` at most."""
        if not self._outgoing:
            return b""
        batch = [self._outgoing.popleft()]
        size = len(batch[0])
        while self._outgoing and size + len(self._outgoing[0]) <= max_bytes:
            batch.append(self._outgoing.popleft())
            size += len(batch[-1])
        self._outgoing_bytes -= size
        self._sent_at = now
        return b"".join(batch) if len(batch) > 1 else batch[0]

    def _queue(self, frame: bytes) -> None:
        self._outgoing.append(frame)
        self._outgoing_bytes += len(frame)

    # Time

    def deadline(self) -> float:
        """When `tick` has something to do next."""
        deadline = min(self._handshake_by, self._ack_at if self.live else _NEVER)
        if self._pings:
            deadline = min(deadline, self._sent_at + self._options.keep_alive_seconds)
            if self._reading:
                deadline = min(deadline, self._received_at + self._options.server_timeout_seconds)
        return deadline

    def tick(self, now: float) -> None:
        """Queue what is due: a ping, an acknowledgement.

        Raises:
            ServerAway: nothing came for too long.
        """
        if now >= self._handshake_by:
            raise ServerAway(
                f"no answer to the handshake or resumption in {self._options.handshake_seconds:g} seconds"
            )
        silent = now - self._received_at
        if self._pings and self._reading and silent >= self._options.server_timeout_seconds:
            raise ServerAway(f"nothing came from the server for {silent:.1f} seconds")
        if self._pings and self.open and now - self._sent_at >= self._options.keep_alive_seconds:
            self._sent_at = now
            self._queue(self.protocol.write(Ping()))
        if self.live and now >= self._ack_at and self._seen is not None:
            self._ack_at, self._unacked_bytes = _NEVER, 0
            number = self._seen.take_ack()
            if number is not None:
                self._queue(self.protocol.write(Ack(number)))

    def say_goodbye(self) -> None:
        """Queue Close: the connection is over for good."""
        if self.open and self._attached:
            self._queue(self.protocol.write(Close()))
