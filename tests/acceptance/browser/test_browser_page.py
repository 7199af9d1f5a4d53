"""The pages themselves: sizes, keyboard, directions, assistive technology, bad connections, embedding."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Literal

import pytest
from playwright.sync_api import WebSocketRoute, expect
from tests.acceptance.browser.demo import Demo, SitePage, Visitor
from tests.acceptance.processes import processes_of

pytestmark = pytest.mark.browser

WIDTHS = (360, 768, 1280)
END = "\x1e"  # of each message of a hub


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_width_works_without_scrolling_sideways(
    demo: Demo, visitor: Visitor, width: int, language: str
) -> None:
    """Log-in, matches, slip and bets fit; every control is big enough for a thumb; a bet can be placed."""
    match = demo.match()
    site = visitor.arrive(width=width, height=800, language=language)
    assert max(site.overflow().values()) <= 0
    site.log_in()
    direction = "rtl" if language == "ar" else "ltr"
    for document in (site.page.main_frame, site.inner):
        assert document.evaluate("document.documentElement.dir") == direction
        assert document.evaluate("document.documentElement.lang") == language
    site.price(match, "under").click()
    site.stake.fill("1")
    assert max(site.overflow().values()) <= 0
    assert site.small_targets() == []
    site.place.click()
    expect(site.slip).to_contain_text("قُبل الرهان" if language == "ar" else "Bet accepted")
    site.open_my_bets()
    expect(site.slip.locator("li[data-bet]").first).to_be_visible()
    assert max(site.overflow().values()) <= 0
    assert site.small_targets() == []


@pytest.mark.parametrize("width", [360, 1280])
def test_the_slip_stays_in_sight_inside_the_frame(demo: Demo, visitor: Visitor, width: int) -> None:
    """In a frame as tall as its page nothing scrolls, yet the stake field is always on the screen."""
    site = visitor.arrive(width=width, height=740).log_in()
    site.page.mouse.wheel(0, 700)
    expect(site.frame.locator("#tab-slip")).to_be_in_viewport()
    site.page.evaluate("scrollTo(0, 500)")
    last = site.frame.locator("button[id^=price-]:not(.locked):visible").nth(30)
    last.scroll_into_view_if_needed()
    last.click()
    expect(site.stake).to_be_in_viewport()
    expect(site.place).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (360, "ar")])
def test_axe_finds_nothing(
    demo: Demo, visitor: Visitor, width: int, language: str, scheme: Literal["light", "dark"]
) -> None:
    """No violation of axe-core's rules in any state of either page, contrast included."""
    match = demo.match()
    site = visitor.arrive(width=width, language=language, scheme=scheme, still=True)
    assert site.axe() == []
    site.log_in("bob")
    assert site.axe() == []
    site.bet(match, "home", "0")
    expect(site.stake).to_have_attribute("aria-invalid", "true")
    assert site.axe() == []
    site.stake.fill("9000")
    site.place.click()
    expect(site.slip.locator(".bad")).to_be_visible()
    assert site.axe() == []
    site.slip.locator(".ways .primary").click()
    site.stake.fill("1")
    site.place.click()
    expect(site.slip.locator(".good")).to_be_visible()
    assert site.axe() == []
    site.open_my_bets()
    assert site.axe() == []


def test_a_bet_by_keyboard_alone(demo: Demo, visitor: Visitor) -> None:
    """From the log-in to the receipt without a mouse; focus is always visible and never lost."""
    match = demo.match()
    site = visitor.arrive()
    page = site.page
    for text in ("alice", "play-money"):
        tab_to(site, "#username" if text == "alice" else "#password")
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    expect(site.price(match, "draw")).to_be_visible()
    before = site.balance
    inner = site.inner
    tab_to_inner(site, "search", "document.activeElement.type")
    page.keyboard.type(match.home)
    wanted = site.price(match, "draw").get_attribute("id") or ""
    tab_to_inner(site, wanted, "document.activeElement.id")
    assert inner.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(site.stake).to_be_focused()
    page.keyboard.press("Escape")
    expect(site.price(match, "draw")).to_be_focused()
    page.keyboard.press("Enter")  # out of the slip
    page.keyboard.press("Enter")  # and in again
    expect(site.stake).to_be_focused()
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    expect(site.slip).to_contain_text("Bet accepted")
    site.expect_balance(before - 2)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # done
    expect(site.slip).to_contain_text("Your slip is empty")
    expect(site.price(match, "draw")).to_be_focused()


def test_a_suspended_price_is_locked_where_it_was_and_keeps_the_focus(demo: Demo, visitor: Visitor) -> None:
    """It stays in its place, says so in words, cannot be chosen, and does not throw the keyboard out."""
    match = demo.match()
    site = visitor.arrive()
    suspended = False

    def carry(page: WebSocketRoute) -> None:
        """Carry the hub's messages, with the price suspended once the test wants it."""

        def to_page(text: str | bytes) -> None:
            assert isinstance(text, str)
            page.send("".join(change(record) + END for record in text.split(END)[:-1]))

        page.connect_to_server().on_message(to_page)

    def change(record: str) -> str:
        said = json.loads(record)
        if suspended and said.get("target") == "Board":
            for each in said["arguments"][0]:
                if each["home"] == match.home:
                    each["markets"][0]["outcomes"][2]["active"] = False
        return json.dumps(said)

    site.page.route_web_socket("**/v1/page/hub*", carry)
    site.log_in()
    site.price(match, "away").focus()
    box = site.price(match, "away").bounding_box()
    suspended = True
    site.page.context.set_offline(True)
    expect(site.frame.get_by_text("Connection lost.")).to_be_visible()
    site.page.context.set_offline(False)
    locked = site.price(match, "away")
    expect(locked).to_have_attribute("aria-disabled", "true")
    expect(locked).to_have_accessible_name(f"{match.away} to win, suspended")
    expect(site.frame.get_by_text("Connection lost.")).to_have_count(0)
    expect(locked).to_be_focused()
    expect(site.frame.get_by_text("Connection restored.")).to_have_count(0)
    assert locked.bounding_box() == box
    locked.press("Enter")
    expect(site.slip).to_contain_text("Your slip is empty")


def test_a_lost_connection_is_said_and_recovers_by_itself(demo: Demo, visitor: Visitor) -> None:
    """Both pages say that what they show may be old; no bet goes off meanwhile; afterwards all is current."""
    match = demo.match()
    site = visitor.arrive().log_in()
    site.price(match, "home").click()
    site.stake.fill("1")
    site.page.context.set_offline(True)
    expect(site.frame.get_by_text("Connection lost. Prices may be out of date.")).to_be_visible()
    expect(site.page.get_by_text("Connection lost. Your balance may be out of date.")).to_be_visible()
    expect(site.slip).to_contain_text("You can place the bet when the connection is back.")
    expect(site.place).to_have_attribute("aria-disabled", "true")
    demo.change_odds(match, ("2.30", "3.40", "3.55", "1.95", "1.87"))
    demo.shell("wallet", "player", "deposit", "alice", "7.00", "EUR", "--id", "while-away")
    site.page.context.set_offline(False)
    expect(site.frame.get_by_text("Connection restored.")).to_be_visible()
    expect(site.slip).to_contain_text("The price changed from 2.10 to 2.30.")
    expect(site.movements.first).to_contain_text("+€7.00")
    assert site.balance == demo.balance("alice")


@pytest.mark.parametrize("side", ["sportsbook", "wallet", "site"])
def test_a_killed_side_is_said_and_its_return_noticed(demo: Demo, visitor: Visitor, side: str) -> None:
    """`kill -9` of any side under open pages: they recover without a reload, and the next bet works."""
    match = demo.match()
    site = visitor.arrive().log_in()
    [line] = [line for line in processes_of(str(demo.data)) if f" serve {side} " in line]
    os.kill(int(line.partition(":")[0]), signal.SIGKILL)
    if side == "sportsbook":
        expect(site.frame.get_by_text("Prices are up to date.")).to_be_visible(timeout=30_000)
    if side == "site":
        expect(site.page.get_by_text("Connection restored.")).to_be_visible(timeout=30_000)
    demo.shell("wallet", "player", "deposit", "alice", "1.00", "EUR", "--id", f"after-killing-{side}")
    expect(site.movements.first).to_contain_text("+€1.00", timeout=30_000)
    before = site.balance
    site.bet(match, "home", "1")
    expect(site.slip).to_contain_text("Bet accepted", timeout=30_000)
    site.expect_balance(before - 1)
    visitor.complaints.clear()  # the browser complains of each refused connection, rightly


def test_the_language_switch_reaches_the_frame_too(visitor: Visitor) -> None:
    """Both documents change language and direction together, and the choice outlives a reload."""
    site = visitor.arrive().log_in()
    site.page.get_by_label("Language").select_option("ar")
    expect(site.page.locator("html")).to_have_attribute("dir", "rtl")
    expect(site.frame.locator("html")).to_have_attribute("dir", "rtl")
    expect(site.frame.get_by_role("tab", name="قسيمة الرهان")).to_be_visible()
    site.page.reload()
    expect(site.frame.locator("html")).to_have_attribute("dir", "rtl")


def test_people_who_want_less_motion_get_none(visitor: Visitor) -> None:
    """With reduced motion asked for, nothing on either page runs for a time one could notice."""
    site = visitor.arrive(still=True).log_in()
    longest = """() => Math.max(...[...document.querySelectorAll('*')].flatMap((each) => {
        const style = getComputedStyle(each)
        return [...style.animationDuration.split(','), ...style.transitionDuration.split(',')].map(parseFloat)
    }))"""
    assert site.page.evaluate(longest) < 0.001
    assert site.inner.evaluate(longest) < 0.001


# -- embedding ------------------------------------------------------------------------------------


def test_the_session_leaves_no_trace_in_addresses(demo: Demo, visitor: Visitor) -> None:
    """The launch token is spent and gone, the session's fragment wiped, and nobody is told where one was.

    Only the WebSocket of the hub has to name the session there, where no cookie can: over plain http.
    """
    site = visitor.arrive().log_in()
    assert site.inner.url == f"{demo.sportsbook}/play/demo-casino/"
    assert site.inner.evaluate("location.hash") == ""
    assert "s=" not in site.inner.evaluate("document.referrer")
    launches = [each for each in visitor.requests if "/launch" in each.url]
    assert len(launches) == 1
    for request in visitor.requests:
        if "/launch" not in request.url:
            assert "?" not in request.url
            assert "launch" not in request.headers.get("referer", "")


def test_a_spent_launch_address_opens_nothing(visitor: Visitor) -> None:
    """Whoever finds the iframe's address in a log gets no session from it."""
    site = visitor.arrive().log_in()
    [launch] = [each.url for each in visitor.requests if "/launch" in each.url]
    again = site.page.context.new_page()
    answer = again.goto(launch)
    assert answer is not None
    assert answer.status == 401
    assert "/play/" not in again.url
    visitor.forgive("401")


def test_the_frame_is_as_tall_as_its_page(demo: Demo, visitor: Visitor) -> None:
    """The frame told its height to the registered site around it, and keeps telling."""
    demo.match()
    site = visitor.arrive().log_in()
    page = site.frame.locator(".page")
    tall = page.evaluate("(page) => Math.ceil(page.getBoundingClientRect().height)")
    expect(site.page.locator("iframe")).to_have_css("height", f"{tall}px")
    site.frame.get_by_label("Search teams or leagues").fill("no such club")
    shorter = page.evaluate("(page) => Math.ceil(page.getBoundingClientRect().height)")
    assert shorter < tall
    expect(site.page.locator("iframe")).to_have_css("height", f"{shorter}px")


def test_both_registered_origins_may_frame_the_page(demo: Demo, visitor: Visitor) -> None:
    """The client registered localhost as well as 127.0.0.1: sizes reach it there too."""
    site = visitor.arrive(site=f"http://localhost:{demo.port}").log_in()
    expect(site.page.locator("iframe")).to_have_css("height", re.compile(r"^(?!720px)\d+px$"))


def test_a_site_that_is_not_registered_gets_neither_the_page_nor_its_messages(
    demo: Demo, visitor: Visitor
) -> None:
    """`frame-ancestors` keeps the page away from it, and it hears nothing."""
    with stranger(demo) as (origin, load):
        site = visitor.arrive().log_in()
        [launch] = [each.url for each in visitor.requests if "/launch" in each.url]
        load(f"{demo.sportsbook}/play/demo-casino/")
        thief = site.page.context.new_page()
        thief.goto(origin)
        thief.wait_for_function("document.querySelector('iframe').dataset.loaded === 'yes'")
        framed = [each for each in thief.frames if each.parent_frame is not None]
        assert all("/play/" not in each.url for each in framed)
        assert thief.evaluate("heard") == []
        assert launch
    visitor.forgive("frame-ancestors")
    visitor.forgive("Refused to frame")
    visitor.forgive("violates the following Content Security Policy")


def test_the_site_believes_no_size_but_its_frames_own(demo: Demo, visitor: Visitor) -> None:
    """A message of the right shape from another window moves nothing."""
    site = visitor.arrive().log_in()
    frame = site.page.locator("iframe")
    tall = site.frame.locator(".page").evaluate("(page) => Math.ceil(page.getBoundingClientRect().height)")
    expect(frame).to_have_css("height", f"{tall}px")
    site.page.evaluate("postMessage({v: 1, type: 'stakewire.size', height: 9000}, '*')")
    site.inner.evaluate("parent.postMessage({v: 2, type: 'stakewire.size', height: 9000}, '*')")
    site.page.evaluate("new Promise((done) => setTimeout(done, 0))")
    expect(frame).to_have_css("height", f"{tall}px")


def tab_to(site: SitePage, selector: str) -> None:
    """Press Tab until the control has the focus."""
    for _ in range(30):
        site.page.keyboard.press("Tab")
        if site.page.locator(selector).evaluate("(control) => control === document.activeElement"):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab")


def tab_to_inner(site: SitePage, wanted: str, what: str) -> None:
    """Press Tab until `what` of the frame's focused control is this."""
    for _ in range(60):
        site.page.keyboard.press("Tab")
        framed = site.page.evaluate("document.activeElement.tagName") == "IFRAME"
        if framed and site.inner.evaluate(what) == wanted:
            return
    raise AssertionError(f"{wanted} cannot be reached by Tab")


@contextmanager
def stranger(demo: Demo) -> Iterator[tuple[str, Callable[[str], None]]]:
    """A site of somebody else that frames what it is told and writes down what it hears."""
    framed = ""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = f"""<!doctype html><link rel="icon" href="data:,">
                <script>heard = []; onmessage = (event) => heard.push(event.data)</script>
                <iframe src="{framed}" onload="this.dataset.loaded = 'yes'"></iframe>"""
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    def load(url: str) -> None:
        nonlocal framed
        framed = url

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", load
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
