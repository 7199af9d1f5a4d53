"""The front door of the callbacks: signature over the raw bytes, then parse, then the committer.

A handler never waits. It answers at once when the request is wrong in itself; otherwise the committer
calls back after the COMMIT and the answer leaves then. Both doors, the hot routes of our own server and
the plain ASGI app, go through the same handlers.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

import msgspec
import structlog

from stakewire.ledger.types import Kind, LedgerRequest, Outcome, Policy
from stakewire.net.http import HotRequest, Respond
from stakewire.net.ratelimit import RateLimiter
from stakewire.wallet.answers import CODES, FAILURES, OK, policy_of
from stakewire.wallet.operators import LiveOperator, OperatorDirectory, callback_path
from stakewire.wallet.rechecks import Rechecks
from stakewire.wallet.stats import CallbackStats
from stakewire.wire.sportsbook.answers import success_by_number
from stakewire.wire.sportsbook.codes import Code
from stakewire.wire.sportsbook.messages import Action, Endpoint, parse_callback
from stakewire.wire.sportsbook.signing import SignatureError, check_signature
from stakewire.wire.sportsbook.strict_json import RequestInvalid

log = structlog.get_logger(__name__)

# Told apart by identity: an enum as the key of a dictionary is hashed in Python.
_BET, _RESULT = Action.BET, Action.RESULT
_KINDS: Final = ((Kind.BET, "bet"), (Kind.RESULT, "result"), (Kind.ROLLBACK, "rollback"))
NO_ACTION: Final = "none"  # what answers without a readable action are counted under
TOO_MANY: Final = b'{"error":"TOO_MANY_REQUESTS"}'


class Submit(Protocol):
    """`Committer.submit`: calls `answer` once, after the outcome is durable (or known not to be)."""

    def __call__(self, request: LedgerRequest, answer: Callable[[Outcome], None], /) -> None:
        """Take one request; never waits, never raises for what a request says."""


class CallbackFront:
    """Routes and answers the callbacks of every operator."""

    def __init__(
        self,
        directory: OperatorDirectory,
        submit: Submit,
        *,
        wrong_signatures: RateLimiter,
        stats: CallbackStats,
    ) -> None:
        self.directory = directory
        self.submit = submit
        self.stats = stats
        self.wrong_signatures = wrong_signatures
        self.rechecks = Rechecks(directory.refresh)
        self._routes: dict[str, Route] = {}
        directory.on_change = self._rebuild

    def find_hot(self, method: str, path: str) -> Route | None:
        """The handler of a callback path; None for everything else, which the ASGI app then answers."""
        return self._routes.get(path) if method == "POST" else None

    async def reload_for_unknown(self) -> None:
        """Bring in an operator that another process made; when the database is away, nothing new is known."""
        await self.rechecks.reload()

    def _rebuild(self, live: dict[str, LiveOperator]) -> None:
        self._routes = {
            f"{callback_path(name)}/{endpoint.value}": Route(self, operator, endpoint)
            for name, operator in live.items()
            for endpoint in Endpoint
        }


class Route:
    """One endpoint of one operator, as it was at the last reload."""

    __slots__ = (
        "_bad_signature_status",
        "_endpoint",
        "_front",
        "_operator",
        "_policy",
        "_spellings",
        "path",
    )

    def __init__(self, front: CallbackFront, operator: LiveOperator, endpoint: Endpoint) -> None:
        self._front = front
        self._operator = operator
        self._endpoint = endpoint
        self._policy: Policy = policy_of(operator.profile)
        self._bad_signature_status = operator.profile.bad_signature_status
        profile = operator.profile
        self._spellings = dict(zip(profile.hash_header_names(), profile.hash_headers, strict=True))
        self.path = f"{callback_path(operator.name)}/{endpoint.value}"

    def __call__(self, request: HotRequest, respond: Respond) -> None:
        """Answer, now or after the COMMIT; a fault of ours is INTERNAL_ERROR, so that it comes again."""
        try:
            if not self._accept(request, respond):
                self._front.rechecks.add(lambda: self._settle(request, respond), _size(request))
        except Exception:
            self._fail(request, respond)

    def _accept(self, request: HotRequest, respond: Respond) -> bool:
        """Process a rightly signed request; False when no secret known here signed it."""
        operator = self._operator
        try:
            checked = check_signature(request.body, request.headers, operator.secrets, self._spellings)
        except SignatureError:
            return False
        front, name = self._front, operator.name
        header = self._spellings[checked.header]
        front.directory.note_use(operator.secret_ids[checked.secret_index], header)
        front.stats.signatures[name, header] += 1
        reply = Reply(front.stats, name, request.received_at, respond)
        try:
            asked = parse_callback(self._endpoint, request.body)
        except RequestInvalid:
            reply.fail(Code.INVALID_REQUEST)
            return True
        action = asked.action
        kind, reply.action = _KINDS[0 if action is _BET else 1 if action is _RESULT else 2]
        front.submit(
            LedgerRequest(
                operator.operator_id,
                asked.transaction_id,
                kind,
                asked.user_id,
                asked.currency,
                asked.amount,
                asked.target_id,
                request.body,
                self._policy,
                request.received_at,
            ),
            reply.finish,
        )
        return True

    def _settle(self, request: HotRequest, respond: Respond) -> None:
        """The operators were reloaded: accept by a new secret, or refuse for good."""
        try:
            current = self._front.find_hot("POST", self.path) or self
            if not current._accept(request, respond):
                current._refuse_signature(request, respond)
        except Exception:
            self._fail(request, respond)

    def _refuse_signature(self, request: HotRequest, respond: Respond) -> None:
        reply = Reply(self._front.stats, self._operator.name, request.received_at, respond)
        if self._front.wrong_signatures.allow(request.peer):
            reply.fail(Code.INVALID_SIGNATURE, self._bad_signature_status)
        else:
            reply.send(429, TOO_MANY, "TOO_MANY_REQUESTS")

    def _fail(self, request: HotRequest, respond: Respond) -> None:
        log.exception("callback_failed", operator=self._operator.name, endpoint=self._endpoint.value)
        Reply(self._front.stats, self._operator.name, request.received_at, respond).fail(Code.INTERNAL_ERROR)


def _size(request: HotRequest) -> int:
    """The bytes that a waiting request keeps."""
    return len(request.body) + sum(len(name) + len(value) for name, value in request.headers)


class Reply(msgspec.Struct, gc=False, eq=False):
    """The answer to one request: written once and counted."""

    _stats: CallbackStats
    _operator: str
    _received_at: float
    _respond: Respond
    action: str = NO_ACTION

    def finish(self, outcome: Outcome) -> None:
        """Answer with the ledger's outcome."""
        decline, own_id, _, _ = outcome
        if decline is not None:
            self.fail(CODES[decline])
        else:
            assert own_id is not None
            self.send(200, success_by_number(own_id), OK)

    def fail(self, code: Code, status: int = 200) -> None:
        """Answer with a code of the contract."""
        self.send(status, FAILURES[code], code.value)

    def send(self, status: int, body: bytes, counted_as: str) -> None:
        """Write the answer."""
        self._respond(status, body)
        self._stats.count(self._operator, self.action, counted_as, monotonic() - self._received_at)
