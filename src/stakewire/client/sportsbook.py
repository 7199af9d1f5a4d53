"""The async client of `POST /auth` and `POST /start-session` (contract section 2)."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self, TypeVar

import aiohttp

from stakewire.client.errors import (
    BadAnswer,
    InvalidCredentials,
    NotAllowed,
    RequestRefused,
    SportsbookAway,
    TooManyRequests,
)
from stakewire.clock import Clock, SystemClock
from stakewire.errors import StakewireError
from stakewire.wire.sportsbook.sessions import (
    ApiError,
    AuthAnswer,
    AuthRequest,
    StartSessionAnswer,
    StartSessionRequest,
    decode,
    encode,
)
from stakewire.wire.sportsbook.strict_json import RequestInvalid

DEFAULT_TIMEOUT = 10.0  # seconds, for one attempt
ATTEMPTS = 3
FIRST_PAUSE = 0.2  # seconds before the second attempt; doubled before the third
_MAX_ANSWER_BYTES = 64 * 1024
_RENEW_BEFORE = 60.0  # seconds before its end at which a token is renewed, or a tenth of its life
_DEFAULT_RETRY_AFTER = 1.0

Answer = TypeVar("Answer", AuthAnswer, StartSessionAnswer)


class SportsbookClient:
    """Starts sessions for players; keeps the token and renews it in time.

    Both calls are safe to repeat (an unused launch link expires by itself), so that a lost
    connection or a 5xx is tried again, three attempts in all. One client serves any number of
    calls at once; it belongs to one event loop.
    """

    def __init__(
        self,
        api_url: str,
        username: str,
        password: str,
        *,
        api_version: str = "v1",
        timeout: float = DEFAULT_TIMEOUT,
        session: aiohttp.ClientSession | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take what the sportsbook gave out; nothing is sent yet.

        Args:
            api_url: API_URL, without the version: `https://bets.example.com`.
            timeout: seconds that one attempt may take.
            session: to share an `aiohttp.ClientSession`; it is then not closed here.
        """
        self._base = f"{api_url.rstrip('/')}/{api_version}"
        self._credentials = AuthRequest(username=username, password=password)
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session = session
        self._owns_session = session is None
        self._monotonic = (SystemClock() if clock is None else clock).monotonic
        self._token: str | None = None
        self._renew_at = 0.0
        self._renewing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"SportsbookClient({self._base!r}, {self._credentials.username!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless the session was given."""
        if self._owns_session and self._session is not None:
            await self._session.close()
            self._session = None

    async def start_session(self, user_id: str, currency: str, *, lang: str | None = None) -> str:
        """The URL for this player's iframe: it works once, for about a minute.

        Raises:
            RequestRefused: user, currency or language is not valid.
            InvalidCredentials, NotAllowed, TooManyRequests, SportsbookAway, BadAnswer: see `client.errors`.
        """
        asked = encode(StartSessionRequest(user_id=user_id, currency=currency, lang=lang))
        token = await self._valid_token()
        try:
            return (await self._call("start-session", asked, StartSessionAnswer, token)).url
        except _TokenRefused:
            # Revoked before its time: one new token, one more try.
            token = await self._valid_token(refused=token)
        try:
            return (await self._call("start-session", asked, StartSessionAnswer, token)).url
        except _TokenRefused:
            raise BadAnswer("the sportsbook refuses the token it has just given") from None

    async def authenticate(self) -> int:
        """Get a token now, for example to check the credentials at start; the seconds it is valid.

        Raises:
            InvalidCredentials, NotAllowed, TooManyRequests, SportsbookAway, BadAnswer: see `client.errors`.
        """
        async with self._renewing:
            return await self._renew()

    async def _valid_token(self, *, refused: str | None = None) -> str:
        async with self._renewing:  # one renewal for all that wait
            if self._token is None or self._token == refused or self._monotonic() >= self._renew_at:
                await self._renew()
            assert self._token is not None
            return self._token

    async def _renew(self) -> int:
        asked_at = self._monotonic()
        given = await self._call("auth", encode(self._credentials), AuthAnswer, None)
        life = float(given.expires_in)
        if life <= 0:
            raise BadAnswer(f"a token that is valid for {given.expires_in} seconds")
        self._token = given.token
        self._renew_at = asked_at + life - min(_RENEW_BEFORE, life / 10)
        return given.expires_in

    async def _call(self, path: str, body: bytes, kind: type[Answer], token: str | None) -> Answer:
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, retry_after, raw = await self._post(path, body, token)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                fault = str(error) or type(error).__name__
            else:
                if status < 500:
                    return _read(status, retry_after, raw, kind)
                fault = f"status {status}"
            if attempt < ATTEMPTS:
                await asyncio.sleep(pause)
                pause *= 2
        raise SportsbookAway(f"{self._base}/{path} gave no answer in {ATTEMPTS} attempts: {fault}")

    async def _post(self, path: str, body: bytes, token: str | None) -> tuple[int, float, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self._session.post(
            f"{self._base}/{path}", data=body, headers=headers, timeout=self._timeout, allow_redirects=False
        ) as response:
            raw = b""
            async for part in response.content.iter_any():
                raw += part
                if len(raw) > _MAX_ANSWER_BYTES:
                    raise BadAnswer(f"an answer of more than {_MAX_ANSWER_BYTES} bytes")
            return response.status, _seconds(response.headers.get("Retry-After")), raw


class _TokenRefused(StakewireError):
    """The sportsbook does not take the token (any more)."""


def _read(status: int, retry_after: float, raw: bytes, kind: type[Answer]) -> Answer:
    if status == 200:
        try:
            return decode(raw, kind)
        except RequestInvalid as error:
            raise BadAnswer(f"the answer is not the contract's: {error.reason}") from None
    raise _failure(status, retry_after, raw, kind)


def _failure(status: int, retry_after: float, raw: bytes, kind: type[Answer]) -> StakewireError:
    said = ApiError(error=f"HTTP_{status}", message=f"status {status}")
    with contextlib.suppress(RequestInvalid):
        said = decode(raw, ApiError)
    match status:
        case 400 | 413 | 422:
            return RequestRefused(said.message, code=said.error)
        case 401 if kind is AuthAnswer:
            return InvalidCredentials(said.message)
        case 401:
            return _TokenRefused(said.message)
        case 403:
            return NotAllowed(said.message, code=said.error)
        case 429:
            return TooManyRequests(said.message, retry_after)
        case _:
            return BadAnswer(f"status {status}: {said.message}")


def _seconds(header: str | None) -> float:
    """`Retry-After` in seconds; its other form, a date, and nonsense count as one second."""
    if header is not None and header.isascii() and header.isdigit() and len(header) < 7:
        return float(header)
    return _DEFAULT_RETRY_AFTER
