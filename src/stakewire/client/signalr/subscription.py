"""Calls that are made again after each reconnect, such as `Subscribe`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

from stakewire.client.signalr.errors import ConnectionLost, NotConnected
from stakewire.client.signalr.flow import Gate
from stakewire.client.signalr.hooks import tell
from stakewire.errors import StakewireError

if TYPE_CHECKING:
    from stakewire.client.signalr.connection import HubConnection


class SubscriptionState(Enum):
    """Where a subscription stands."""

    WAITING = "waiting"  # there is no connection: what is known is out of date
    SUBSCRIBING = "subscribing"
    ACTIVE = "active"
    FAILED = "failed"  # the hub refused it; it is tried again after the next reconnect, or by `renew`
    CLOSED = "closed"


class Subscription:
    """One call, repeated on each new connection; not after a resumption, which loses nothing.

    Attributes:
        state: see `SubscriptionState`.
        result: what the last successful call gave, of the type asked for.
        error: why it is FAILED or WAITING.
    """

    def __init__(
        self,
        connection: HubConnection,
        target: str,
        arguments: tuple[Any, ...],
        *,
        result: Any,
        on_state: Callable[[Subscription], object] | None,
    ) -> None:
        self.target = target
        self.state = SubscriptionState.WAITING
        self.result: Any = None
        self.error: StakewireError | None = None
        self._connection = connection
        self._arguments = arguments
        self._result_type = result
        self._on_state = on_state
        self._changed = Gate()
        self._calling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.active()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def active(self) -> None:
        """Wait until it is active.

        Raises:
            StakewireError: the hub refused it, or it was closed (WrongState by way of `close`).
        """
        while self.state is not SubscriptionState.ACTIVE:
            if self.state is SubscriptionState.FAILED and self.error is not None:
                raise self.error
            if self.state is SubscriptionState.CLOSED:
                raise NotConnected(f"the subscription {self.target} was closed")
            await self._changed.wait()

    def renew(self) -> None:
        """Make the call now, on the present connection; an earlier one that still waits is let go."""
        if self.state is SubscriptionState.CLOSED:
            return
        if self._calling is not None:
            self._calling.cancel()
        self._calling = asyncio.create_task(self._call())

    def waiting(self, error: StakewireError | None) -> None:
        """The connection is gone."""
        if self.state is not SubscriptionState.CLOSED:
            self._move(SubscriptionState.WAITING, error)

    async def close(self, target: str | None = None, *arguments: Any) -> None:
        """Do not repeat it any more; with `target` (such as `Unsubscribe`) the hub is told."""
        was_active = self.state is SubscriptionState.ACTIVE
        self._connection.forget(self)
        if self._calling is not None:
            self._calling.cancel()
        self._move(SubscriptionState.CLOSED, None)
        if target is not None and was_active:
            await self._connection.send(target, *arguments)

    async def _call(self) -> None:
        self._move(SubscriptionState.SUBSCRIBING, None)
        try:
            self.result = await self._connection.invoke(
                self.target, *self._arguments, result=self._result_type
            )
        except (NotConnected, ConnectionLost) as error:
            self.waiting(error)
        except StakewireError as error:
            self._move(SubscriptionState.FAILED, error)
        else:
            self._move(SubscriptionState.ACTIVE, None)

    def _move(self, state: SubscriptionState, error: StakewireError | None) -> None:
        self.state, self.error = state, error
        self._changed.changed()
        if self._on_state is not None:
            tell(self._on_state, self)
