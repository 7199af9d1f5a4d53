"""A player's day: money goes down with a bet, up with a win, and never twice; every refusal is understood."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from playwright.sync_api import Route, expect
from tests.acceptance.browser.demo import Demo, Visitor, amount

pytestmark = pytest.mark.browser


def test_a_bet_takes_its_stake_and_a_win_pays(demo: Demo, visitor: Visitor) -> None:
    """Log in, bet in the iframe, see the balance go down; settle, see it go up by stake times odds."""
    match = demo.match()
    site = visitor.arrive().log_in()
    before = site.balance
    site.price(match, "home").click()
    site.stake.fill("5")
    expect(site.slip).to_contain_text("€10.50")
    site.place.click()
    expect(site.slip).to_contain_text("Bet accepted")
    site.expect_balance(before - 5)
    newest = site.movements.first
    expect(newest).to_have_attribute("data-kind", "stake")
    expect(newest).to_contain_text("−€5.00")
    expect(newest).to_contain_text(f"€{before - 5:,.2f}")
    demo.result(match, 2, 0)
    site.expect_balance(before - 5 + Decimal("10.50"))
    expect(newest).to_have_attribute("data-kind", "payout")
    site.open_my_bets()
    site.slip.get_by_role("button", name="Settled").click()
    expect(site.slip.locator("li").first).to_contain_text("Won")
    expect(site.slip.locator("li").first).to_contain_text("€10.50")
    assert demo.balance("alice") == before - 5 + Decimal("10.50")


def test_a_lost_bet_pays_nothing_and_a_void_match_returns_the_stake(demo: Demo, visitor: Visitor) -> None:
    """Both ends are shown for what they are, on both pages."""
    lost, void = demo.match(), demo.match()
    site = visitor.arrive().log_in()
    before = site.balance
    for match in (lost, void):
        site.bet(match, "over", "2.50")
        expect(site.slip).to_contain_text("Bet accepted")
        site.slip.get_by_role("button", name="Done").click()
    site.expect_balance(before - 5)
    demo.result(lost, 1, 0)
    expect(site.movements.first).to_have_attribute("data-kind", "nothing")
    demo.void(void)
    site.expect_balance(before - Decimal("2.50"))
    expect(site.movements.first).to_have_attribute("data-kind", "stakeBack")
    site.open_my_bets()
    site.slip.get_by_role("button", name="Settled").click()
    settled = site.slip.locator("li")
    expect(settled.filter(has_text=lost.home).first).to_contain_text("Lost")
    expect(settled.filter(has_text=lost.home).first).to_contain_text("€0.00")
    expect(settled.filter(has_text=void.home).first).to_contain_text("Void")
    expect(settled.filter(has_text=void.home).first).to_contain_text("Stake returned")


def test_too_little_money_is_said_in_words_and_costs_nothing(demo: Demo, visitor: Visitor) -> None:
    """The refusal says why and what can be done, keeps the slip, and a smaller stake then goes through."""
    match = demo.match()
    site = visitor.arrive().log_in("bob")
    before = site.balance
    site.bet(match, "draw", "5000")
    expect(site.slip).to_contain_text("Bet not accepted")
    expect(site.slip).to_contain_text("There is not enough money in your account for this stake.")
    expect(site.slip).not_to_contain_text("INSUFFIC")
    expect(site.movements.first).to_have_attribute("data-kind", "stakeRefused")
    site.expect_balance(before)
    site.slip.get_by_role("button", name="Change stake").click()
    expect(site.stake).to_be_focused()
    site.stake.fill("1")
    site.place.click()
    expect(site.slip).to_contain_text("Bet accepted")
    site.expect_balance(before - 1)


def test_a_blocked_player_is_told_so(demo: Demo, visitor: Visitor) -> None:
    """The bet is refused with a sentence about the account, and goes through after the block is lifted."""
    match = demo.match()
    site = visitor.arrive().log_in("bob")
    demo.shell("wallet", "player", "block", "bob")
    try:
        site.bet(match, "away", "1")
        expect(site.slip).to_contain_text("Your account cannot place bets at the moment.")
    finally:
        demo.shell("wallet", "player", "unblock", "bob")
    site.slip.get_by_role("button", name="Change stake").click()
    site.place.click()
    expect(site.slip).to_contain_text("Bet accepted")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "Enter how much you want to stake."),
        ("0", "The stake must be more than zero."),
        ("five", "Enter the stake as a number, like 5.00."),
        ("1.005", "This currency has fewer decimal places."),
    ],
)
def test_a_stake_that_is_no_amount_is_named_beside_the_field(
    demo: Demo, visitor: Visitor, typed: str, sentence: str
) -> None:
    """Nothing is sent, the field keeps the focus, and a screen reader hears what is wrong with it."""
    match = demo.match()
    site = visitor.arrive().log_in("bob")
    sent = len(visitor.requests)
    site.bet(match, "home", typed)
    expect(site.slip).to_contain_text(sentence)
    expect(site.stake).to_have_accessible_description(sentence)
    expect(site.stake).to_be_focused()
    assert not [each for each in visitor.requests[sent:] if each.method == "POST"]


def test_a_bet_that_got_lost_on_the_way_is_checked_not_offered_again(demo: Demo, visitor: Visitor) -> None:
    """The player sees that the bet is being checked, and what came of it, without doing anything."""
    match = demo.match()
    site = visitor.arrive().log_in()
    before = site.balance
    tries: list[str] = []

    def lose_requests(route: Route) -> None:
        if route.request.method == "POST":
            tries.append(json.loads(route.request.post_data or "")["slip_id"])
        if len(tries) in (1, 2):
            route.abort("connectionreset")
        else:
            route.continue_()

    site.page.route("**/v1/page/bets", lose_requests)
    site.bet(match, "home", "3")
    expect(site.slip).to_contain_text("Checking your bet")
    expect(site.slip).to_contain_text("There is no need to place it again.")
    expect(site.slip.get_by_role("button")).to_have_count(0)
    expect(site.slip).to_contain_text("Bet accepted")
    assert len(tries) == 3
    assert len(set(tries)) == 1
    site.expect_balance(before - 3)
    visitor.forgive("ERR_CONNECTION_RESET")


def test_a_bet_whose_answer_was_lost_counts_once(demo: Demo, visitor: Visitor) -> None:
    """The sportsbook had it all along: the page finds out by itself, and the player pays once."""
    match = demo.match()
    site = visitor.arrive().log_in()
    before = site.balance
    lost: list[int] = []

    def lose_answers(route: Route) -> None:
        if route.request.method == "POST" and len(lost) < 2:
            lost.append(route.fetch().status)  # it reached the sportsbook
            route.abort("connectionreset")
        else:
            route.continue_()

    site.page.route("**/v1/page/bets", lose_answers)
    site.bet(match, "home", "3.21")
    expect(site.slip).to_contain_text("Bet accepted")
    assert set(lost) == {200}
    site.expect_balance(before - Decimal("3.21"))
    deltas = [amount(each["delta"]) for each in demo.history("alice")]
    assert deltas.count(Decimal("-3.21")) == 1
    visitor.forgive("ERR_CONNECTION_RESET")


def test_a_reload_in_the_middle_of_a_bet_goes_on_with_it(demo: Demo, visitor: Visitor) -> None:
    """The bet in flight is found again after the frame was opened anew, and stands once."""
    match = demo.match()
    site = visitor.arrive().log_in()
    before = site.balance
    site.page.route("**/v1/page/bets", lambda route: route.abort("connectionreset"))
    site.bet(match, "home", "2")
    expect(site.slip).to_contain_text("Checking your bet")
    site.page.unroute("**/v1/page/bets")
    site.page.reload()
    expect(site.slip).to_contain_text("Bet accepted")
    site.expect_balance(before - 2)
    visitor.forgive("ERR_CONNECTION_RESET")


def test_a_moved_price_is_marked_by_shape_and_text_and_must_be_accepted(demo: Demo, visitor: Visitor) -> None:
    """The button shows direction and step; the slip asks before a bet goes off at another price."""
    match = demo.match()
    site = visitor.arrive().log_in()
    before = site.balance
    site.price(match, "home").click()
    site.stake.fill("4")
    demo.change_odds(match, ("2.25", "3.40", "3.55", "1.90", "1.87"))
    expect(site.price(match, "home")).to_contain_text("▲ 0.15")
    expect(site.price(match, "over")).to_contain_text("▼ 0.05")
    expect(site.slip).to_contain_text("The price changed from 2.10 to 2.25.")
    site.slip.get_by_role("button", name="Accept 2.25").click()
    expect(site.slip).to_contain_text("€9.00")
    site.expect_balance(before)
    site.place.click()
    expect(site.slip).to_contain_text("Bet accepted")
    site.expect_balance(before - 4)


def test_frozen_prices_stay_until_unfrozen_and_the_old_price_is_never_taken_silently(
    demo: Demo, visitor: Visitor
) -> None:
    """Somebody who freezes the screen still gets asked when the price moved underneath."""
    match = demo.match()
    site = visitor.arrive().log_in()
    site.frame.get_by_role("button", name="Freeze prices").click()
    demo.change_odds(match, ("2.00", "3.40", "3.55", "1.95", "1.87"))
    site.bet(match, "home", "1")
    expect(site.slip).to_contain_text("The price changed from 2.10 to 2.00.")
    site.frame.get_by_role("button", name="Freeze prices").click()
    expect(site.price(match, "home")).to_contain_text("2.00")
    visitor.forgive("409")


def test_play_money_is_added_once_per_press(demo: Demo, visitor: Visitor) -> None:
    """A deposit whose answer was lost and is pressed again adds its amount once."""
    site = visitor.arrive().log_in("bob")
    before = site.balance
    lost: list[int] = []

    def lose_first(route: Route) -> None:
        if not lost:
            lost.append(route.fetch().status)
            route.abort("connectionreset")
        else:
            route.continue_()

    site.page.route("**/api/deposit", lose_first)
    add = site.page.get_by_role("button", name="Add €50.00")
    add.click()
    expect(site.page.get_by_role("alert")).to_contain_text("it is done once only")
    add.click()
    expect(site.page.get_by_role("alert")).to_have_count(0)
    site.expect_balance(before + 50)
    assert lost == [200]
    assert demo.balance("bob") == before + 50
    visitor.forgive("ERR_CONNECTION_RESET")


def test_a_wrong_password_is_said_and_the_cookie_is_out_of_reach_of_scripts(visitor: Visitor) -> None:
    """The form stays, the sentence helps, and what then logs in is no script's to read."""
    site = visitor.arrive()
    site.page.locator("#username").fill("alice")
    site.page.locator("#password").fill("wrong")
    site.page.keyboard.press("Enter")
    expect(site.page.get_by_role("alert")).to_contain_text("This name and password do not fit together.")
    visitor.forgive("401")
    site.log_in()
    assert site.page.evaluate("document.cookie") == ""
    site.page.get_by_role("button", name="Log out").click()
    expect(site.page.locator("#username")).to_be_visible()
    site.page.reload()
    expect(site.page.locator("#username")).to_be_visible()
