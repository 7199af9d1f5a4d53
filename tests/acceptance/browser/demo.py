"""What the browser tests do: matches and results by the shell, everything else as a player at a browser."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Frame, FrameLocator, Locator, Page, Request, expect
from tests.acceptance.processes import stakewire

AXE = Path(__file__).parents[3] / "web" / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "play-money"  # what `stakewire up` prints for everybody
MATCHES = 60
PER_LEAGUE = 10
ODDS = ("2.10", "3.40", "3.55", "1.95", "1.87")  # home, draw, away, over, under
COLUMNS = (
    "league",
    "kickoff_utc",
    "home_team",
    "away_team",
    *(f"market_average_{what}" for what in ("home_win", "draw", "away_win", "over_2.5", "under_2.5")),
)


@dataclass(frozen=True)
class Fixture:
    """A match on offer that no simulation will touch."""

    id: int
    home: str
    away: str
    league: str
    kickoff: datetime


@dataclass
class Demo:
    """The running demo, and the shell beside it."""

    folder: Path
    data: Path
    port: int
    _fresh: list[Fixture] = field(default_factory=list)

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sportsbook(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"

    def shell(self, *arguments: str) -> Any:
        """Run a `stakewire` command on the demo's data; gives its JSON document."""
        done = stakewire(*arguments, "--data", str(self.data), "--json", cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def open_season(self) -> None:
        """Put all matches of these tests on offer, in one file: they begin in three hours or later."""
        begin = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)
        season = [
            (f"Harbour Division {number // PER_LEAGUE + 1}", begin + timedelta(minutes=number), number)
            for number in range(MATCHES)
        ]
        self._import(
            [
                (league, at, f"Lighthouse {number}", f"Breakwater {number}", ODDS)
                for league, at, number in season
            ]
        )
        for match in self.shell("sportsbook", "match", "list", "--limit", "500")["matches"]:
            if not match["simulated"]:
                at = datetime.fromisoformat(match["kickoff"])
                self._fresh.append(Fixture(match["id"], match["home"], match["away"], match["league"], at))

    def match(self) -> Fixture:
        """A match that no other test has touched."""
        return self._fresh.pop()

    def change_odds(self, match: Fixture, odds: Sequence[str]) -> None:
        """New prices for a match: home, draw, away, over, under."""
        self._import([(match.league, match.kickoff, match.home, match.away, odds)])

    def result(self, match: Fixture, home_goals: int, away_goals: int) -> None:
        """Settle the match, as the shell does it."""
        self.shell("sportsbook", "match", "result", str(match.id), str(home_goals), str(away_goals))

    def void(self, match: Fixture) -> None:
        """Void the match, as the shell does it."""
        self.shell("sportsbook", "match", "void", str(match.id))

    def balance(self, player: str) -> Decimal:
        """What the wallet itself says."""
        [account] = self.shell("wallet", "player", "show", player)["accounts"]
        return Decimal(account["balance"])

    def history(self, player: str) -> list[dict[str, Any]]:
        """The player's latest transactions as the wallet has them, newest first."""
        items: list[dict[str, Any]] = self.shell("wallet", "history", player, "--limit", "50")["items"]
        return items

    def _import(self, rows: Sequence[tuple[str, datetime, str, str, Sequence[str]]]) -> None:
        path = self.folder / "fixtures.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for league, kickoff, home, away, odds in rows:
                writer.writerow([league, kickoff.isoformat(sep=" "), home, away, *odds])
        report = self.shell("sportsbook", "import", str(path))
        assert report["added"] + report["updated"] == len(rows), report


class Visitor:
    """One person at a browser, with a profile of their own."""

    def __init__(self, demo: Demo, browser: Browser) -> None:
        self.demo = demo
        self.strangers: list[str] = []
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        self._browser = browser
        self._contexts: list[Any] = []

    def arrive(
        self,
        *,
        width: int = 1280,
        height: int = 900,
        language: str = "en",
        scheme: Literal["light", "dark"] = "light",
        still: bool = False,
        site: str | None = None,
    ) -> SitePage:
        """Open the site in a new window of this size."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            locale=language,
            color_scheme=scheme,
            reduced_motion="reduce" if still else "no-preference",
        )
        context.set_default_timeout(15_000)
        self._contexts.append(context)
        context.on("request", self._watch)
        context.on("console", self._listen)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        page = context.new_page()
        page.goto(site or self.demo.site)
        return SitePage(page, self.demo)

    def forgive(self, words: str) -> None:
        """Take back complaints with these words, which the test caused on purpose."""
        self.complaints = [each for each in self.complaints if words not in each]

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _watch(self, request: Request) -> None:
        self.requests.append(request)
        if urlsplit(request.url).hostname not in ("127.0.0.1", "localhost"):
            self.strangers.append(request.url)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")


class SitePage:
    """The demo platform's site in one window, with the sportsbook in its frame."""

    def __init__(self, page: Page, demo: Demo) -> None:
        self.page = page
        self._demo = demo

    # -- the site -------------------------------------------------------------------------------

    def log_in(self, player: str = "alice", password: str = PASSWORD) -> SitePage:
        """Fill in the form, and wait for the player's balance and matches."""
        self.page.locator("#username").fill(player)
        self.page.locator("#password").fill(password)
        self.page.locator("form button[type=submit]").click()
        expect(self.balance_field).to_have_text(re.compile(r"\d"))
        expect(self.frame.locator("section li").first).to_be_visible()
        return self

    @property
    def balance_field(self) -> Locator:
        return self.page.get_by_test_id("balance")

    @property
    def balance(self) -> Decimal:
        return amount(self.balance_field.inner_text())

    def expect_balance(self, expected: Decimal) -> None:
        """The site shows this balance, soon and without a reload."""
        expect(self.balance_field).to_have_text(re.compile(re.escape(f"{expected:,.2f}")))

    @property
    def movements(self) -> Locator:
        """Lines of the movements panel, newest first."""
        return self.page.get_by_test_id("movements").locator("li[data-kind]")

    # -- the sportsbook in its frame ------------------------------------------------------------

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("iframe")

    @property
    def inner(self) -> Frame:
        """The frame's own document."""
        [frame] = [each for each in self.page.frames if each.url.startswith(self._demo.sportsbook)]
        return frame

    def price(self, match: Fixture, outcome: Literal["home", "draw", "away", "over", "under"]) -> Locator:
        """The button of one price."""
        row = self.frame.locator("li").filter(has=self.frame.get_by_text(match.home, exact=True))
        return row.locator("button[id^=price-]").nth(("home", "draw", "away", "over", "under").index(outcome))

    @property
    def slip(self) -> Locator:
        return self.frame.locator("#panel")

    @property
    def stake(self) -> Locator:
        return self.frame.locator("#stake")

    @property
    def place(self) -> Locator:
        return self.slip.locator("button[type=submit]")

    def bet(
        self, match: Fixture, outcome: Literal["home", "draw", "away", "over", "under"], stake: str
    ) -> None:
        """Choose a price, type a stake, send it off."""
        self.price(match, outcome).click()
        self.stake.fill(stake)
        self.place.click()

    def open_my_bets(self) -> None:
        self.frame.locator("#tab-bets").click()

    # -- judging --------------------------------------------------------------------------------

    def axe(self) -> list[str]:
        """What axe-core finds wrong in the site and in the frame, each as one line."""
        found = []
        for document in [self.page.main_frame, *self.page.main_frame.child_frames]:
            assert AXE.exists(), "axe-core is missing: run npm ci in web/"
            document.evaluate(AXE.read_text())
            report = document.evaluate("axe.run(document, {iframes: false, resultTypes: ['violations']})")
            for violation in report["violations"]:
                nodes = "; ".join(
                    f"{node['target']} {node['failureSummary']}" for node in violation["nodes"][:3]
                )
                found.append(f"{document.url}: {violation['id']}: {nodes}")
        return found

    def overflow(self) -> dict[str, int]:
        """By how many pixels each document is wider than its window."""
        return {
            document.url: document.evaluate("document.documentElement.scrollWidth - innerWidth")
            for document in [self.page.main_frame, *self.page.main_frame.child_frames]
        }

    def small_targets(self) -> list[str]:
        """Visible controls under 44 x 44 CSS pixels."""
        look = """() => [...document.querySelectorAll('button, input, select, a')].filter((control) => {
            const box = control.getBoundingClientRect()
            return box.width > 0 && box.height > 0 && (box.width < 43.5 || box.height < 43.5)
        }).map((control) => control.outerHTML.slice(0, 120))"""
        return [
            each
            for document in [self.page.main_frame, *self.page.main_frame.child_frames]
            for each in document.evaluate(look)
        ]


def amount(text: str) -> Decimal:
    """The number in an amount such as €1,234.50."""
    return Decimal(re.sub(r"[^\d.-]", "", text.replace("−", "-")))
