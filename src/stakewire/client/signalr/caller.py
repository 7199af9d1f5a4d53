"""Making calls: invocations, streams, arguments that are streams themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar, overload

import msgspec

from stakewire.client.signalr.calls import Calls, PendingCall, PendingStream
from stakewire.client.signalr.driver import Driver
from stakewire.client.signalr.errors import BadAnswer, CallTimedOut
from stakewire.client.signalr.flow import Backlog
from stakewire.client.signalr.options import ClientOptions
from stakewire.client.signalr.session import Session
from stakewire.client.signalr.uploads import Uploads, split
from stakewire.wire.signalr.errors import BadArgument
from stakewire.wire.signalr.messages import (
    NOTHING,
    CancelInvocation,
    Completion,
    Invocation,
    StreamInvocation,
)
from stakewire.wire.signalr.protocol import HubProtocol

T = TypeVar("T")


class Caller:
    """The calling half of `HubConnection`, which sets the attributes."""

    _options: ClientOptions
    _protocol: HubProtocol
    _driver: Driver
    _backlog: Backlog
    _calls: Calls
    _uploads: Uploads

    @overload
    async def invoke(
        self, target: str, *arguments: Any, result: type[T], timeout: float | None = ...
    ) -> T: ...

    @overload
    async def invoke(
        self, target: str, *arguments: Any, result: Any = ..., timeout: float | None = ...
    ) -> Any: ...

    async def invoke(
        self, target: str, *arguments: Any, result: Any = Any, timeout: float | None = None
    ) -> Any:
        """Call a hub method and wait for what it gives.

        Args:
            arguments: what msgspec encodes; an async iterator becomes a stream to the server, which ends with
                the call.
            result: the type wanted, checked; without it, plain values come back.
            timeout: in seconds. The hub is not told when it passes: a plain call cannot be taken back.

        Raises:
            HubError: the hub says that it failed.
            NotConnected, WrongState, BadArguments, TooManyCalls: nothing was sent.
            ConnectionLost, CallTimedOut: whether it was carried out is not known.
            BadAnswer: the result is of another type.
        """
        call = PendingCall()
        call_id = self._calls.new_id()
        session = self._driver.usable()
        plain, streams = self._streams(arguments)
        self._calls.add(call_id, call)
        scope = asyncio.timeout(timeout)
        try:
            async with scope:
                await self._driver.say(session, Invocation(target, plain, call_id, tuple(streams)))
                self._upload(session, streams)
                completion = await call.completion()
        except TimeoutError:
            if scope.expired():
                raise CallTimedOut(f"{target} gave no answer in {timeout:g} seconds") from None
            raise
        finally:
            self._calls.forget(call_id)
            self._uploads.stop(tuple(streams))
        return self._result(target, completion, result)

    async def send(self, target: str, *arguments: Any) -> None:
        """Call a hub method without an answer; returns when the message is queued, within the bounds.

        Raises:
            NotConnected, WrongState, BadArguments: nothing was sent.
        """
        session = self._driver.usable()
        plain, streams = self._streams(arguments)
        await self._driver.say(session, Invocation(target, plain, None, tuple(streams)))
        self._upload(session, streams)

    @overload
    def stream(self, target: str, *arguments: Any, item: type[T]) -> AsyncGenerator[T, None]: ...

    @overload
    def stream(self, target: str, *arguments: Any, item: Any = ...) -> AsyncGenerator[Any, None]: ...

    async def stream(self, target: str, *arguments: Any, item: Any = Any) -> AsyncGenerator[Any, None]:
        """What a streaming hub method gives, as it comes; the call is made when the loop begins.

        Leaving the loop cancels the stream on the server; `contextlib.aclosing` does so at a known moment.

        Raises:
            SlowConsumer: the loop took nothing for `stall_seconds` while its queue was full.
            Others as `invoke`; items that came before are given out first.
        """
        call_id = self._calls.new_id()
        session = self._driver.usable()
        plain, streams = self._streams(arguments)
        stream = PendingStream(
            target, self._options.max_queued, self._backlog, lambda: self._cancel(session, call_id)
        )
        self._calls.add(call_id, stream)
        sent = False
        try:
            await self._driver.say(session, StreamInvocation(target, plain, call_id, tuple(streams)))
            sent = True
            self._upload(session, streams)
            while (raw := await stream.next()) is not None:
                yield self._decode(f"an item of {target}", raw, item)
        finally:
            self._calls.forget(call_id)
            self._uploads.stop(tuple(streams))
            if sent:
                stream.close()

    # Parts of calls

    def _streams(self, arguments: tuple[Any, ...]) -> tuple[list[Any], dict[str, Any]]:
        plain, sources = split(arguments)
        return plain, {self._calls.new_id(): source for source in sources}

    def _upload(self, session: Session, streams: Mapping[str, Any]) -> None:
        for stream_id, source in streams.items():
            self._uploads.start(stream_id, source, lambda message: self._driver.say(session, message))

    def _cancel(self, session: Session, call_id: str) -> None:
        if session is self._driver.session:
            self._driver.say_now(session, CancelInvocation(call_id))

    def _result(self, target: str, completion: Completion, kind: Any) -> Any:
        if completion.result is not NOTHING:
            return self._decode(f"the result of {target}", completion.result, kind)
        try:
            return msgspec.convert(None, kind)
        except msgspec.ValidationError:
            raise BadAnswer(f"{target} gave no result") from None

    def _decode(self, what: str, raw: msgspec.Raw, kind: Any) -> Any:
        try:
            return self._protocol.decode(raw, kind)
        except BadArgument as error:
            raise BadAnswer(f"{what} is of another type: {error.message}") from None
