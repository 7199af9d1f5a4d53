"""The site's view of the wallet: its admin API over HTTP, as any platform would call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from stakewire.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    Refused,
    StakewireError,
    Unauthorized,
    Unavailable,
)

TIMEOUT_SECONDS = 8.0


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a player's history, as the site shows it. Amounts are decimal strings."""

    seq: str
    id: str
    operator: str
    transaction_id: str
    kind: str
    amount: str
    delta: str
    balance_after: str
    currency: str
    error: str | None
    at: str


class _Page(msgspec.Struct, frozen=True):
    items: list[Movement]


class _Account(msgspec.Struct, frozen=True):
    currency: str
    balance: str


class _Player(msgspec.Struct, frozen=True):
    status: str
    accounts: list[_Account]


@dataclass(frozen=True, slots=True)
class Account:
    """What a player has: the balance as a decimal string, and whether bets are possible at all."""

    balance: str
    status: str


class Wallet:
    """Calls `/admin/v1` of one wallet.

    Every method raises `Unavailable` when the wallet is away or broken, and the error of the
    wallet's own answer otherwise (`NotFound`, `Refused`, ...).
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._base = url.rstrip("/") + "/admin/v1"
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    async def account(self, user: str, currency: str) -> Account:
        """The player's account in this currency."""
        player = msgspec.json.decode(
            await self._call("GET", f"/players/{quote(user, safe='')}"), type=_Player
        )
        for account in player.accounts:
            if account.currency == currency:
                return Account(account.balance, player.status)
        raise NotFound(f"player {user} has no account in {currency}")

    async def history(self, user: str, currency: str, *, after: str | None, limit: int) -> list[Movement]:
        """The newest `limit` movements, or the first `limit` after the cursor; oldest first in both cases."""
        query = {"currency": currency, "limit": str(limit)} | ({} if after is None else {"after": after})
        raw = await self._call("GET", f"/players/{quote(user, safe='')}/history", query=query)
        items = msgspec.json.decode(raw, type=_Page).items
        return items if after is not None else items[::-1]

    async def deposit(self, user: str, amount: str, currency: str, *, key: str) -> None:
        """Add money, once per `key`."""
        body = {"amount": amount, "currency": currency}
        await self._call("POST", f"/players/{quote(user, safe='')}/deposits", body=body, key=key)

    async def ready(self) -> None:
        """Return if the wallet answers."""
        await self._call("GET", "/operators")

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> bytes:
        headers = self._headers | ({} if key is None else {"Idempotency-Key": key})
        try:
            async with self._session.request(
                method,
                self._base + path,
                params=query,
                json=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            ) as answer:
                raw = await answer.read()
                if answer.status < 300:
                    return raw
                raise _error(answer.status, raw)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable("the wallet does not answer") from error


class _Problem(msgspec.Struct, frozen=True):
    error: str = "ERROR"
    message: str = "the wallet said no"


_ERRORS: Mapping[int, type[StakewireError]] = {
    400: InvalidInput,
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    422: Refused,
}


def _error(status: int, raw: bytes) -> StakewireError:
    kind = _ERRORS.get(status)
    if kind is None or kind is Unauthorized:
        return Unavailable(f"the wallet answered the site with status {status}")
    try:
        problem = msgspec.json.decode(raw, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    return kind(problem.message, code=problem.error)
