"""Fixture and result files: good rows are kept, bad ones named, whatever the file looks like."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.betting.files import FixtureFile, ResultFile, read_file, shift_kickoffs
from stakewire.betting.markets import Market, Score
from stakewire.errors import InvalidInput

FIXTURES = (
    "league,kickoff_utc,home_team,away_team,market_average_home_win,market_average_draw,"
    "market_average_away_win,market_average_over_2.5,market_average_under_2.5,market_maximum_home_win"
)
GOOD = "XX1,2030-08-11 19:00:00+00:00,Anchor Vale,Brightwater,2.5,3.30,2.90,1.88,1.94,2.6"
RESULTS = "league,season,Date,HomeTeam,AwayTeam,FTHG,FTAG,FTR,HTHG"
GOOD_RESULT = "XX1,2030-31,2030-08-11,Anchor Vale,Brightwater,2,0,H,1"


def fixtures(text: str, encoding: str = "utf-8") -> FixtureFile:
    file = read_file(text.encode(encoding))
    assert isinstance(file, FixtureFile)
    return file


def results(text: str) -> ResultFile:
    file = read_file(text.encode())
    assert isinstance(file, ResultFile)
    return file


def test_a_fixture_is_read_with_its_average_prices() -> None:
    """League, kick-off, teams, and both markets at the average prices, exactly as written."""
    (fixture,) = fixtures(f"{FIXTURES}\n{GOOD}\n").fixtures
    assert (fixture.league, fixture.home, fixture.away) == ("XX1", "Anchor Vale", "Brightwater")
    assert fixture.kickoff == datetime(2030, 8, 11, 19, tzinfo=UTC)
    assert fixture.source_date == date(2030, 8, 11)
    assert fixture.odds == {
        Market.MATCH_RESULT: {"1": Decimal("2.5"), "X": Decimal("3.30"), "2": Decimal("2.90")},
        Market.TOTAL_2_5: {"over": Decimal("1.88"), "under": Decimal("1.94")},
    }


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{FIXTURES}\r\n{GOOD}\r\n",
        f"{FIXTURES}\r{GOOD}",
        f"\n\n{FIXTURES}\n\n{GOOD}\n   \n,,,,,,,,,\n",
        f"{FIXTURES.replace(',', ';')}\n{GOOD.replace(',', ';').replace('.', ',')}\n",
        f"{FIXTURES.replace(',', chr(9))}\n{GOOD.replace(',', chr(9))}\n",
        f"{FIXTURES.upper().replace('_', ' ')}\n  {GOOD.replace(',', '  ,  ')}  ",
        f"{FIXTURES}\n{GOOD.replace('Anchor Vale', chr(34) + ' Anchor' + chr(0xA0) + '  Vale ' + chr(34))}\n",
    ],
    ids=["bom and crlf", "cr", "blank lines", "semicolons", "tabs", "header spacing", "odd spaces"],
)
def test_files_are_read_however_they_were_exported(text: str) -> None:
    """A byte order mark, other line ends, delimiters, blank lines and odd spacing change nothing."""
    file = fixtures(text)
    assert not file.bad
    assert file.fixtures == fixtures(f"{FIXTURES}\n{GOOD}\n").fixtures


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_are_recognised(encoding: str) -> None:
    """A name with an accent comes out the same from UTF-8, UTF-16 and Windows-1252."""
    (fixture,) = fixtures(f"{FIXTURES}\n{GOOD.replace('Anchor Vale', 'Ánchor Välé')}\n", encoding).fixtures
    assert fixture.home == "Ánchor Välé"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (GOOD.replace("2.5,", "1.00,"), "odds lie between"),
        (GOOD.replace("3.30", "evens"), "odds are a decimal"),
        (GOOD.replace("3.30", ""), "no price for 1x2 X"),
        (GOOD.replace("1.94", ""), "no price for ou2.5 under"),
        (GOOD.replace("2030-08-11 19:00:00+00:00", "11/08/2030"), "kickoff_utc must be like"),
        (GOOD.replace("Brightwater", "Anchor Vale"), "cannot play against itself"),
        (GOOD.replace("Brightwater", ""), "awayteam must be a name"),
        (GOOD.replace("Brightwater", "B" * 101), "awayteam must be a name"),
        (GOOD.replace("Brightwater", '"Brightwater'), "a quote is not closed"),
        (GOOD + ",1", "11 cells where the header has 10"),
        ("XX1,2030-08-12", "2 cells where the header has 10"),
        (GOOD.replace("Brightwater", "Other"), "plays twice in XX1 on 2030-08-11; the first is on line 2"),
    ],
)
def test_a_bad_row_is_named_and_the_good_ones_are_kept(bad: str, reason: str) -> None:
    """The line's number and what is wrong with it; the rows before and after it stay."""
    after = GOOD.replace("Anchor Vale", "Copper Hill")
    file = fixtures(f"{FIXTURES}\n{GOOD}\n{bad}\n{after}\n")
    assert [fixture.home for fixture in file.fixtures] == ["Anchor Vale", "Copper Hill"]
    assert [row.line for row in file.bad] == [3]
    assert reason in file.bad[0].reason
    assert file.rows == 3


def test_a_match_without_totals_is_offered_without_them() -> None:
    """The over/under prices may be left out together."""
    (fixture,) = fixtures(f"{FIXTURES}\n{GOOD.replace('1.88,1.94', ',')}\n").fixtures
    assert set(fixture.odds) == {Market.MATCH_RESULT}


def test_a_result_is_read_by_its_own_columns() -> None:
    """League, date and home team name the match; the score is the full-time one."""
    (row,) = results(f"{RESULTS}\n{GOOD_RESULT}\n").results
    assert row.key == ("XX1", date(2030, 8, 11), "Anchor Vale")
    assert row.score == Score(2, 0)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (GOOD_RESULT.replace(",2,0,H", ",,,"), "FTHG must be a number of goals"),
        (GOOD_RESULT.replace(",2,0,H", ",2,0,A"), "FTR says A, but 2-0 is H"),
        (GOOD_RESULT.replace(",2,0,H", ",2.0,0,H"), "FTHG must be a number"),
        (GOOD_RESULT.replace(",2,0,H", ",200,0,H"), "a score has 0 to 99"),
        (GOOD_RESULT.replace("2030-08-11", "2030-02-30"), "the date must be like"),
    ],
)
def test_a_bad_result_is_named(bad: str, reason: str) -> None:
    """A score that contradicts itself, or is none, settles nothing."""
    file = results(f"{RESULTS}\n{bad}\n")
    assert not file.results
    assert reason in file.bad[0].reason


@pytest.mark.parametrize("raw", [b"", b"\n \n", b"a,b,c\n1,2,3\n", b"\xff\xfe\x00", bytes(range(256))])
def test_what_is_no_such_file_is_refused_as_a_whole(raw: bytes) -> None:
    """A file of neither kind is an error, not an import of nothing."""
    with pytest.raises(InvalidInput):
        read_file(raw)


@given(st.text(max_size=200))
def test_any_text_in_a_row_is_a_row_or_a_named_line(text: str) -> None:
    """No cell makes the reader fail, and no row is lost without a word."""
    raw = f"{FIXTURES}\n{GOOD}\n{text}".encode("utf-8", "surrogatepass")
    try:
        file = read_file(raw)
    except InvalidInput:
        return
    assert isinstance(file, FixtureFile)
    assert len(file.fixtures) + len(file.bad) <= file.rows
    assert file.fixtures[0].home == "Anchor Vale"


def test_shifting_moves_every_kickoff_by_the_same_amount() -> None:
    """The first match begins at the time given, the others keep their distance; source dates stay."""
    later = GOOD.replace("Anchor Vale", "Copper Hill").replace("2030-08-11 19", "2030-08-13 21")
    file = fixtures(f"{FIXTURES}\n{later}\n{GOOD}\n")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moved = shift_kickoffs(file.fixtures, start)
    assert [fixture.kickoff - start for fixture in moved] == [timedelta(days=2, hours=2), timedelta(0)]
    assert [fixture.source_date.isoformat() for fixture in moved] == ["2030-08-13", "2030-08-11"]
