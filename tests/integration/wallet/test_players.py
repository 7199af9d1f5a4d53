"""Players, limits and history: what the admin side asks of the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.wallet.ledger_bench import (
    CALENDAR,
    Bench,
    add_operators,
    ask,
    deposit_of,
    open_bench,
)

from stakewire.errors import Conflict, InvalidInput, NotFound
from stakewire.ledger.types import Decline, Kind, LimitKind, Period, Status
from stakewire.money import Currencies
from stakewire.postgres.wallet.audit import verify
from stakewire.testing import ManualClock

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def limit(
    bench: Bench, kind: LimitKind, per: Period, cents: int | None, act: str, user: str = "ann"
) -> None:
    """Set or remove a limit in EUR."""
    await bench.players.set_limit(user, "EUR", kind, per, cents, act_id=act, at=bench.clock.now())


async def test_acts_are_done_once(database_url: str) -> None:
    """The same act twice is one act; its id under another act is a conflict, and changes nothing."""
    async with open_bench(database_url) as bench:
        now = bench.clock.now()
        assert await bench.players.add("ann", "EUR", act_id="a1", at=now)
        assert not await bench.players.add("ann", "EUR", act_id="a1", at=now)
        assert await bench.players.add("ann", "JPY", act_id="a2", at=now)
        assert not await bench.players.add("ann", "JPY", act_id="a3", at=now)
        with pytest.raises(Conflict, match="a1"):
            await bench.players.add("bob", "EUR", act_id="a1", at=now)
        with pytest.raises(NotFound):
            await bench.players.show("bob", now)
        await bench.players.set_status("ann", Status.BLOCKED, act_id="s1", at=now)
        await bench.players.set_status("ann", Status.ACTIVE, act_id="s2", at=now)
        await bench.players.set_status("ann", Status.BLOCKED, act_id="s1", at=now)
        assert (await bench.players.show("ann", now)).status is Status.ACTIVE
        shown = await bench.players.show("ann", now)
        assert [account.currency for account in shown.accounts] == ["EUR", "JPY"]


async def test_closing_is_final_and_exclusion_only_grows(database_url: str) -> None:
    """Unblock ends neither a closure nor a self-exclusion; an exclusion is never shortened."""
    async with open_bench(database_url, clock=ManualClock(MONDAY)) as bench:
        now = bench.clock.now()
        await bench.open_player("ann", "EUR", deposit="10.00")
        await bench.players.exclude("ann", now + timedelta(days=3), act_id="e1", at=now)
        with pytest.raises(Conflict, match="never shortened"):
            await bench.players.exclude("ann", now + timedelta(days=2), act_id="e2", at=now)
        with pytest.raises(InvalidInput):
            await bench.players.exclude("ann", now, act_id="e3", at=now)
        await bench.players.set_status("ann", Status.ACTIVE, act_id="s1", at=now)
        assert (await bench.committer.apply(ask(Kind.BET, "b1"))).decline is Decline.USER_BLOCKED
        await bench.players.set_status("ann", Status.CLOSED, act_id="s2", at=now)
        with pytest.raises(Conflict, match="closed"):
            await bench.players.set_status("ann", Status.ACTIVE, act_id="s3", at=now)
        assert (await bench.committer.apply(ask(Kind.RESULT, "w1"))).decline is None, (
            "results are always paid"
        )


async def test_an_exclusion_ends_by_itself(database_url: str) -> None:
    """From its moment on, and without anybody doing anything, bets are accepted again."""
    clock = ManualClock(MONDAY)
    async with open_bench(database_url, clock=clock) as bench:
        await bench.open_player("ann", "EUR", deposit="10.00")
        await bench.players.exclude("ann", MONDAY + timedelta(hours=1), act_id="e1", at=MONDAY)
        clock.advance(3599)
        assert (await bench.committer.apply(ask(Kind.BET, "b1"))).decline is Decline.USER_BLOCKED
        clock.advance(1)
        assert (await bench.committer.apply(ask(Kind.BET, "b2"))).decline is None


async def test_a_limit_counts_what_was_played_before_it_was_set(database_url: str) -> None:
    """Stakes of the running week count from the moment the limit is set; rolled-back ones do not."""
    clock = ManualClock(MONDAY)
    async with open_bench(database_url, clock=clock) as bench:
        await bench.open_player("ann", "EUR", deposit="100.00")
        await bench.committer.apply(ask(Kind.BET, "b1", "10.00"))
        await bench.committer.apply(ask(Kind.BET, "b2", "5.00"))
        await bench.committer.apply(ask(Kind.ROLLBACK, "r2", "5.00", target="b2"))
        clock.advance(24 * 3600)
        await limit(bench, LimitKind.STAKE, Period.WEEK, 1_500, "l1")
        assert (await bench.committer.apply(ask(Kind.BET, "b3", "5.01"))).decline is Decline.LIMIT_EXCEEDED
        assert (await bench.committer.apply(ask(Kind.BET, "b4", "5.00"))).decline is None
        shown = await bench.players.show("ann", clock.now())
        assert [(each.amount_minor, each.used_minor) for each in shown.accounts[0].limits] == [(1_500, 1_500)]
        await bench.committer.apply(ask(Kind.ROLLBACK, "r1", "10.00", target="b1"))
        assert (await bench.committer.apply(ask(Kind.BET, "b5", "10.00"))).decline is None
        assert (await bench.committer.apply(ask(Kind.BET, "b6", "0.00"))).decline is None, (
            "nothing passes no limit"
        )
        clock.advance(6 * 24 * 3600)
        assert (await bench.committer.apply(ask(Kind.BET, "b7", "15.00"))).decline is None, "a new week"
        await limit(bench, LimitKind.STAKE, Period.WEEK, None, "l2")
        assert (await bench.committer.apply(ask(Kind.BET, "b8", "15.00"))).decline is None
        assert (await bench.audit()).is_clean


async def test_a_loss_limit_counts_stakes_minus_results(database_url: str) -> None:
    """A win makes room; taking it back closes it again."""
    async with open_bench(database_url, clock=ManualClock(MONDAY)) as bench:
        await bench.open_player("ann", "EUR", deposit="100.00")
        await limit(bench, LimitKind.LOSS, Period.MONTH, 1_000, "l1")
        said = [
            (await bench.committer.apply(request)).decline
            for request in (
                ask(Kind.BET, "b1", "10.00"),
                ask(Kind.BET, "b2", "1.00"),
                ask(Kind.RESULT, "w1", "4.00"),
                ask(Kind.BET, "b3", "4.00"),
                ask(Kind.ROLLBACK, "r1", "4.00", target="w1"),
                ask(Kind.BET, "b4", "0.01"),
            )
        ]
        assert said == [None, Decline.LIMIT_EXCEEDED, None, None, None, Decline.LIMIT_EXCEEDED]
        assert (await bench.audit()).is_clean


async def test_money_acts_carry_an_id(database_url: str) -> None:
    """A deposit sent twice is one deposit; under the same id another amount is refused."""
    async with open_bench(database_url) as bench:
        await bench.open_player("ann", "EUR")
        first = await bench.committer.apply(deposit_of("ann", "10.00", act_id="d1"))
        again = await bench.committer.apply(deposit_of("ann", "10.0", act_id="d1"))
        assert (again.own_id, again.replay, again.decline) == (first.own_id, True, None)
        other = await bench.committer.apply(deposit_of("ann", "11.00", act_id="d1"))
        assert other.decline is Decline.TRANSACTION_MISMATCH
        assert await bench.balance("ann") == 1_000


async def test_history_follows_the_order_of_commits_over_all_accounts(database_url: str) -> None:
    """Newest first without a cursor; with one, exactly what came later, oldest first, page by page."""
    await add_operators(database_url, 2)
    async with open_bench(database_url) as bench:
        await bench.open_player("ann", "EUR", "JPY", deposit="100.00")
        for number in range(5):
            await bench.committer.apply(ask(Kind.BET, f"e{number}", "1.00"))
            await bench.committer.apply(ask(Kind.RESULT, f"j{number}", "100", currency="JPY"))
        page = await bench.history.history("ann", limit=3)
        assert [item.tx_id for item in page.items] == ["j4", "e4", "j3"]
        assert [(item.delta, item.balance_after) for item in page.items[:2]] == [(100, 500), (-100, 9_500)]
        assert (await bench.history.history("ann", after=page.next)).items == []
        walked, cursor = [], ""
        while items := (await bench.history.history("ann", after=cursor, limit=4)).items:
            walked += [item.tx_id for item in items]
            cursor = items[-1].cursor
        assert walked[1:] == [f"{letter}{number}" for number in range(5) for letter in "ej"]
        await bench.committer.apply(ask(Kind.BET, "e4", "2.00"))
        await bench.committer.apply(ask(Kind.BET, "too much", "9999"))
        later = (await bench.history.history("ann", after=cursor)).items
        assert [(item.tx_id, item.decline) for item in later] == [("too much", "INSUFFICIENT_FUNDS")]
        newest = (await bench.history.history("ann", currency="EUR", limit=2)).items
        assert [(item.tx_id, item.altered) for item in newest] == [("too much", 0), ("e4", 1)]
        for wrong in ("EUR", "EUR.x", "~", "EUR.1~"):
            with pytest.raises(InvalidInput):
                await bench.history.history("ann", after=wrong)
        with pytest.raises(NotFound):
            await bench.history.history("bob")


async def test_a_transaction_is_found_by_either_sides_id_with_everything_known_of_it(
    database_url: str,
) -> None:
    """By the operator's id or ours: its rollback, late arrivals and altered copies, at most 16 of them."""
    await add_operators(database_url, 2, 3)
    async with open_bench(database_url) as bench:
        await bench.open_player("ann", "EUR", deposit="100.00")
        bet = await bench.committer.apply(ask(Kind.BET, "same id", "1.00"))
        await bench.committer.apply(ask(Kind.RESULT, "same id", "2.00", operator=3))
        await bench.at_once([ask(Kind.BET, "same id", f"{2 + number}.00") for number in range(15)])
        await bench.at_once([ask(Kind.BET, "same id", f"{12 + number}.00") for number in range(15)])
        await bench.committer.apply(ask(Kind.ROLLBACK, "r1", "3.00", target="same id"))
        mine, theirs = await bench.history.find("same id")
        assert (mine.operator, mine.kind, mine.delta, mine.raw) == (
            "operator-2",
            Kind.BET,
            -100,
            b"same id 1.00",
        )
        assert (mine.reversed_by, len(mine.copies)) == ("r1", 16)
        assert (theirs.operator, theirs.delta, theirs.copies) == ("operator-3", 200, ())
        (by_own,) = await bench.history.find(str(bet.own_id))
        assert by_own == mine
        (rollback,) = await bench.history.find("r1")
        assert (rollback.altered, rollback.delta) == (True, 100)
        await bench.committer.apply(ask(Kind.ROLLBACK, "r2", "1.00", target="late"))
        await bench.committer.apply(ask(Kind.BET, "late", "1.00", user="whoever"))
        (stone,) = await bench.history.find("late")
        assert (stone.kind, stone.target_id) == (Kind.TOMBSTONE, "r2")
        assert [(copy.late, copy.decline, copy.user_id) for copy in stone.copies] == [
            (True, "TRANSACTION_ROLLED_BACK", "whoever")
        ]
        with pytest.raises(NotFound):
            await bench.history.find("9" * 19)


async def test_sums_may_be_longer_than_any_single_amount(database_url: str) -> None:
    """105 results of 10^18 ETH: balance, day and the house's side have 39 digits and more, and stay exact."""
    await add_operators(database_url, 2)
    async with open_bench(database_url, currencies=Currencies.default()) as bench:
        await bench.open_player("ann", "ETH")
        await bench.players.set_limit(
            "ann", "ETH", LimitKind.LOSS, Period.MONTH, 1, act_id="l1", at=bench.clock.now()
        )
        most = str(10**18)
        at_once = [ask(Kind.RESULT, f"w{number}", most, currency="ETH") for number in range(100)]
        assert {outcome.decline for outcome in await bench.at_once(at_once)} == {None}
        for number in range(100, 105):
            asked = ask(Kind.RESULT, f"w{number}", most, currency="ETH")
            assert (await bench.committer.apply(asked)).decline is None
        assert await bench.balance("ann", "ETH") == 105 * 10**36
        (newest,) = (await bench.history.history("ann", limit=1)).items
        assert newest.balance_after == 105 * 10**36
        undo = ask(Kind.ROLLBACK, "r1", most, currency="ETH", target="w0")
        assert (await bench.committer.apply(undo)).decline is None
        assert await bench.balance("ann", "ETH") == 104 * 10**36
        audit = await verify(
            bench.pool, currencies=Currencies.default(), calendar=CALENDAR, now=bench.clock.now()
        )
        assert audit.is_clean
