"""What the sportsbook shows of itself beside delivery: answers, bets, settlement, money on open bets."""

from __future__ import annotations

import json
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stakewire.clock import Clock
from stakewire.money import Currencies, from_minor
from stakewire.net.http import AsgiApp, Message, Receive, Scope, Send
from stakewire.postgres.sportsbook.bets import OpenMoney

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class SportsbookMetrics:
    """The numbers of one process; gauges about the database are read from it, not counted here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "stakewire_sportsbook_answers",
            "Requests answered, by what was asked and the code of the answer.",
            ("operation", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "stakewire_sportsbook_answer_seconds",
            "Time to the first byte of an answer; placing a bet waits for the client's wallet.",
            ("operation",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._bets = Counter(
            "stakewire_sportsbook_bets",
            "Bets decided: accepted, the wallet's decline, UNKNOWN (rolled back), late (after that).",
            ("outcome",),
            registry=registry,
        )
        self._settled = Counter(
            "stakewire_sportsbook_settled_bets",
            "Bets a ruling was applied to, by what they became.",
            ("state",),
            registry=registry,
        )
        self._in_flight = self._gauge(registry, "bets_in_flight", "Bets waiting for their stake's answer.")
        self._pages = self._gauge(registry, "open_pages", "Players' pages that are open.")
        self._pending_age = self._gauge(
            registry, "oldest_pending_bet_seconds", "Age of the oldest bet without an answer."
        )
        self._unsettled = self._gauge(
            registry, "unsettled_matches", "Matches whose latest ruling has not reached all bets."
        )
        self._stakes = self._gauge(
            registry, "open_stakes", "Stakes held on bets without a result, in whole units.", "currency"
        )
        self._payouts = self._gauge(
            registry, "open_payouts", "Money at risk: what those bets pay if they all win.", "currency"
        )
        self._shown: set[str] = set()

    @staticmethod
    def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
        of_each_process = name in ("bets_in_flight", "open_pages")
        return Gauge(
            f"stakewire_sportsbook_{name}",
            text,
            labels,
            registry=registry,
            multiprocess_mode="livesum" if of_each_process else "mostrecent",
        )

    def answered(self, operation: str, code: str, seconds: float) -> None:
        self._answers.labels(operation, code).inc()
        self._seconds.labels(operation).observe(seconds)

    def bet_decided(self, outcome: str) -> None:
        self._bets.labels(outcome).inc()

    def bets_settled(self, state: str, bets: int) -> None:
        self._settled.labels(state).inc(bets)

    def show_process(self, *, bets_in_flight: int, open_pages: int) -> None:
        self._in_flight.set(bets_in_flight)
        self._pages.set(open_pages)

    def show_database(
        self,
        money: Iterable[OpenMoney],
        currencies: Currencies,
        *,
        oldest_pending_seconds: float,
        unsettled_matches: int,
    ) -> None:
        """Replace the gauges by what the database holds now."""
        self._pending_age.set(oldest_pending_seconds)
        self._unsettled.set(unsettled_matches)
        # A currency without open bets goes to zero: gauges of several processes cannot be taken away.
        shown = dict.fromkeys(self._shown, (0.0, 0.0))
        for row in money:
            currency = currencies.find(row.currency)
            if currency is None:
                continue  # taken out of the configuration: settlement names it, the others are still shown
            # Prometheus knows floats only: shown, never reckoned with.
            amounts = (from_minor(row.stakes_minor, currency), from_minor(row.payouts_minor, currency))
            shown[row.currency] = (float(amounts[0]), float(amounts[1]))
        for code, (stakes, payouts) in shown.items():
            self._stakes.labels(code).set(stakes)
            self._payouts.labels(code).set(payouts)
        self._shown = set(shown)


class CountAnswers:
    """Middleware: counts answers by operation (the handler's name) and code (a failure's word, else `ok`)."""

    def __init__(self, app: AsgiApp, metrics: SportsbookMetrics, clock: Clock) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()
        failed = 0

        async def watched(message: Message) -> None:
            nonlocal failed
            if message["type"] == "http.response.start":
                failed = message["status"] if message["status"] >= 400 else 0
                if not failed:
                    self._metrics.answered(_operation(scope), "ok", self._clock.monotonic() - began)
            elif failed:
                code = _code(failed, message.get("body", b""))
                self._metrics.answered(_operation(scope), code, self._clock.monotonic() - began)
                failed = 0
            await send(message)

        await self._app(scope, receive, watched)


def _operation(scope: Scope) -> str:
    """The handler's name: a closed set, whatever paths are asked for."""
    return getattr(scope.get("endpoint"), "__name__", None) or "other"


def _code(status: int, body: bytes) -> str:
    """The failure's word; our own answers have one, and the set of them is closed."""
    try:
        word = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        word = None
    return word if isinstance(word, str) else str(status)
