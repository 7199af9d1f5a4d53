"""The connection to a hub, as users hold it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from stakewire.client.signalr.caller import Caller
from stakewire.client.signalr.calls import Calls
from stakewire.client.signalr.dial import Dialer
from stakewire.client.signalr.driver import Driver
from stakewire.client.signalr.errors import BadArguments
from stakewire.client.signalr.flow import Backlog
from stakewire.client.signalr.handlers import Handler, Handlers, Overflow, Registration
from stakewire.client.signalr.hooks import tell
from stakewire.client.signalr.lifecycle import Lifecycle, State, StateChange
from stakewire.client.signalr.links.http import HubHttp, Token, TokenFactory
from stakewire.client.signalr.options import ClientOptions
from stakewire.client.signalr.session import Session
from stakewire.client.signalr.subscription import Subscription
from stakewire.client.signalr.uploads import Uploads
from stakewire.clock import Clock, SystemClock
from stakewire.errors import ConfigError, StakewireError
from stakewire.wire.signalr.messages import (
    Completion,
    HubMessage,
    Invocation,
    StreamItem,
)
from stakewire.wire.signalr.negotiate import Transport
from stakewire.wire.signalr.protocol import PROTOCOLS

log = logging.getLogger("stakewire.client.signalr")


class HubConnection(Caller):
    """A connection to one hub that comes back by itself.

        async with HubConnection("https://example.com/chat", token=fetch_token) as hub:
            hub.on("ReceiveMessage", print, types=(str, str))
            count = await hub.invoke("SendMessage", "lobby", "hello", result=int)
            async for tick in hub.stream("Counter", 10, item=int):
                ...

    Belongs to one event loop. Everything it raises is in `stakewire.client.signalr.errors`.
    """

    def __init__(
        self,
        url: str,
        *,
        options: ClientOptions | None = None,
        token: TokenFactory | None = None,
        headers: Mapping[str, str] | None = None,
        session: aiohttp.ClientSession | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: of the hub, `http`, `https`, `ws` or `wss`; its query goes along with every request.
            token: gives the bearer token, or None; a function or coroutine function, asked at each
                negotiation and each opening of a transport, and again when a request is refused with 401.
            headers: for every request.
            session: to share an `aiohttp.ClientSession` (its proxy, TLS, limits); it is then not closed here.
                Each connection holds one of its sockets; a connector allows 100 unless told otherwise.
            chance: for the jitter of reconnects.

        Raises:
            ConfigError: `url` is no address of a hub.
        """
        self._options = ClientOptions() if options is None else options
        self._url = _hub_url(url)
        self._token = token
        self._headers = {} if headers is None else dict(headers)
        self._protocol = PROTOCOLS[self._options.protocol]
        self._backlog = Backlog(self._options.stall_seconds)
        self._handlers = Handlers(self._backlog, self._options.max_queued)
        self._calls = Calls(self._options.max_pending_calls)
        self._uploads = Uploads()
        self._subscriptions: list[Subscription] = []
        self._callbacks: list[Callable[[StateChange], object]] = []
        chance = random.Random() if chance is None else chance  # noqa: S311 - it spreads load, it hides nothing
        self._driver = Driver(
            self._dialer,
            session,
            self._protocol,
            self._options,
            Lifecycle(self._options, chance, renews_token=token is not None),
            clock=SystemClock() if clock is None else clock,
            backlog=self._backlog,
            dispatch=self._dispatch,
            lost=self._lost,
            changed=self._changed,
        )

    def __repr__(self) -> str:
        return f"HubConnection({str(self._url.with_query(None))!r}, {self.state.value})"

    # Life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._driver.state

    @property
    def connection_id(self) -> str | None:
        """The public name of the present connection; None without one, and with `skip_negotiation`."""
        dialled = self._driver.dialled
        return None if dialled is None or self._driver.session is None else dialled.connection_id

    @property
    def transport(self) -> Transport | None:
        """What carries the present connection."""
        dialled = self._driver.dialled
        return None if dialled is None or self._driver.session is None else dialled.transport

    async def start(self) -> None:
        """Connect; returns when calls can be made.

        Raises:
            ServerAway, NotAuthorized, NotSupported, BadAnswer: no connection could be made (`retry_start`
                waits instead while the server is away).
            WrongState: it is started already.
        """
        await self._driver.start()

    async def stop(self) -> None:
        """Send what waits and Close, and close the transport; nothing happens if it has ended already.

        Calls that wait fail with ConnectionLost; handlers that run are cancelled.
        """
        await self._driver.stop()
        await self._uploads.stop_all()
        await self._handlers.stop()

    async def connected(self) -> None:
        """Wait until it is connected, for example after NotConnected.

        Raises:
            StakewireError: what it has ended with.
            WrongState: it was not started, or was stopped.
        """
        await self._driver.connected()

    async def ended(self) -> StakewireError | None:
        """Wait until it is over for good; the reason, None after `stop`."""
        return await self._driver.ended()

    def on_state(self, callback: Callable[[StateChange], object]) -> None:
        """Tell `callback` of each change of state, at once and in order; it must not wait."""
        self._callbacks.append(callback)

    # What the server calls, and what is called again

    def on(
        self,
        target: str,
        handler: Handler,
        *,
        types: Sequence[Any] | None = None,
        max_queued: int | None = None,
        overflow: Overflow = Overflow.WAIT,
    ) -> Registration:
        """Let `handler` be called when the server invokes `target`; `Registration.remove` undoes it.

        Args:
            handler: a plain function, called at once, or a coroutine function, called for one message after
                the other. What it returns is the result, where the server waits for one; a HubError it
                raises is told to the server, of other exceptions nothing is.
            types: of the arguments, checked; without it, plain values come.
            max_queued: messages that may wait for a coroutine function, else `ClientOptions.max_queued`.
            overflow: what happens beyond that.
        """
        return self._handlers.add(target, handler, types, max_queued, overflow)

    def subscription(
        self,
        target: str,
        *arguments: Any,
        result: Any = Any,
        on_state: Callable[[Subscription], object] | None = None,
    ) -> Subscription:
        """A call that is made now, if there is a connection, and again on every new one.

        `await subscription.active()` waits for its success. `on_state` is told of each change, so that
        one may know whether what was received is current.
        """
        subscription = Subscription(self, target, arguments, result=result, on_state=on_state)
        self._subscriptions.append(subscription)
        if self.state in (State.CONNECTED, State.RESUMING):
            subscription.renew()
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Do not repeat it any more: what `Subscription.close` does first."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    # What the driver tells

    def _dialer(self, http_session: aiohttp.ClientSession) -> Dialer:
        http = HubHttp(
            http_session,
            self._url,
            Token(self._token),
            headers=self._headers,
            token_in_query=self._options.token_in_query,
            timeout=self._options.connect_seconds,
        )
        return Dialer(http, self._protocol, self._options)

    def _dispatch(self, session: Session, message: HubMessage) -> None:
        if isinstance(message, Invocation):
            self._handlers.dispatch(self._protocol, message, lambda answer: self._reply(session, answer))
        elif isinstance(message, StreamItem):
            self._calls.item(message)
        elif isinstance(message, Completion):
            self._calls.completed(message)

    def _lost(self, error: StakewireError) -> None:
        self._calls.connection_lost(error.message)
        self._uploads.cancel_all()
        for subscription in tuple(self._subscriptions):
            subscription.waiting(error)

    def _changed(self, change: StateChange) -> None:
        for callback in tuple(self._callbacks):
            tell(callback, change)
        if change.new is State.CONNECTED and change.old is not State.RESUMING:
            for subscription in tuple(self._subscriptions):
                subscription.renew()

    def _reply(self, session: Session, answer: Completion) -> None:
        """Answer the server, if it is still the connection that asked."""
        if session is not self._driver.session:
            return
        try:
            self._driver.say_now(session, answer)
        except BadArguments as error:
            log.error("the result of a handler cannot be encoded: %s", error.message)
            text = "The client's result cannot be encoded."
            self._driver.say_now(session, Completion(answer.invocation_id, error=text))


def _hub_url(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise ConfigError(f"the hub's URL cannot be read: {error}") from None
    scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
    if scheme not in ("http", "https") or not url.host:
        raise ConfigError("the hub's URL begins with https://, http://, wss:// or ws:// and names a host")
    return url.with_scheme(scheme)
