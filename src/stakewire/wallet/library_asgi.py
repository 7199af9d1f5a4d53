"""`handle_callback` as an ASGI app, for platforms that keep their own wallet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stakewire.clock import Clock
from stakewire.money import Currencies
from stakewire.net.asgi import NO_SUCH_PATH
from stakewire.net.http import Receive, Scope, Send
from stakewire.wallet.library import PlatformStore, handle_callback
from stakewire.wallet.plain_asgi import is_encoded, path_below_mount, read_body, send_failure, send_json
from stakewire.wire.sportsbook.messages import Endpoint
from stakewire.wire.sportsbook.profile import Profile
from stakewire.wire.sportsbook.signing import Secret
from stakewire.wire.sportsbook.strict_json import MAX_BODY_BYTES

_ENDPOINTS = {f"/{endpoint.value}": endpoint for endpoint in Endpoint}


class CallbackLibraryApp:
    """Answers `POST /transaction` and `POST /transaction-rollback`, below wherever it is mounted.

    `secrets` is called for each request, so that a rotated security hash is used at once.
    """

    def __init__(
        self,
        store: PlatformStore,
        secrets: Callable[[], Sequence[Secret]],
        *,
        profile: Profile | None = None,
        currencies: Currencies | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._profile = profile or Profile()
        self._currencies = currencies or Currencies.default()
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError(f"this app speaks HTTP only, not {scope['type']}")
        endpoint = _ENDPOINTS.get(path_below_mount(scope))
        if endpoint is None:
            await send_failure(send, 404, "NOT_FOUND", NO_SUCH_PATH)
        elif scope["method"] != "POST":
            await send_failure(
                send, 405, "METHOD_NOT_ALLOWED", "callbacks are sent by POST", (b"allow", b"POST")
            )
        elif is_encoded(scope):
            await send_failure(
                send, 415, "UNSUPPORTED_MEDIA_TYPE", "the signature is over the bytes: send them unencoded"
            )
        else:
            await self._handle(endpoint, scope, receive, send)

    async def _handle(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, MAX_BODY_BYTES)
        if body is None:
            await send_failure(send, 413, "BODY_TOO_LARGE", f"a callback has at most {MAX_BODY_BYTES} bytes")
            return
        status, answer = await handle_callback(
            endpoint,
            body,
            scope["headers"],
            secrets=self._secrets(),
            store=self._store,
            profile=self._profile,
            currencies=self._currencies,
            clock=self._clock,
        )
        await send_json(send, status, answer)


def callback_app(
    store: PlatformStore,
    secrets: Sequence[Secret] | Callable[[], Sequence[Secret]],
    *,
    profile: Profile | None = None,
    currencies: Currencies | None = None,
    clock: Clock | None = None,
) -> CallbackLibraryApp:
    """The app over the platform's own store; arguments as in `handle_callback`."""
    live = secrets if callable(secrets) else lambda: secrets
    return CallbackLibraryApp(store, live, profile=profile, currencies=currencies, clock=clock)
