"""Fixture and result files: CSV bytes in, good rows and named bad rows out.

Two kinds are known by their columns. Fixtures: `league, kickoff_utc, home_team, away_team` and the average
prices `market_average_home_win, _draw, _away_win`, with `_over_2.5, _under_2.5` if there are any. Results:
`league, Date, HomeTeam, AwayTeam, FTHG, FTAG`, with `FTR` if there is one. Other columns are ignored.

Read generously: UTF-8 with or without a byte order mark, UTF-16 with one, else Windows-1252; commas,
semicolons or tabs; any case and spacing in headers; spaces around cells and doubled inside names. Every
line stands alone, so that an unclosed quote spoils its own line and no other.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from stakewire.betting.markets import OUTCOMES, Market, Score, winning_outcome
from stakewire.betting.odds import parse_odds
from stakewire.betting.schedule import Fixture
from stakewire.errors import InvalidInput

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_NAME = 100

_FIXTURE_COLUMNS = ("league", "kickoffutc", "hometeam", "awayteam")
_RESULT_COLUMNS = ("league", "date", "hometeam", "awayteam", "fthg", "ftag")
_PRICE_COLUMNS = {
    Market.MATCH_RESULT: ("marketaveragehomewin", "marketaveragedraw", "marketaverageawaywin"),
    Market.TOTAL_2_5: ("marketaverageover2.5", "marketaverageunder2.5"),
}
_RESULT_LETTERS = {"1": "H", "X": "D", "2": "A"}
_DELIMITERS = ",;\t"
_LINE_END = re.compile("\r\n|\r|\n")

Row = Mapping[str, str]
Key = tuple[str, date, str]
"""League, date and home team: one club plays one match a day."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that was left out, and why. The header is line 1."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A final score for the match that a fixture file named by the same league, date and home team."""

    line: int
    league: str
    day: date
    home: str
    away: str
    score: Score

    @property
    def key(self) -> Key:
        return self.league, self.day, self.home


@dataclass(frozen=True, slots=True)
class FixtureFile:
    rows: int = 0
    fixtures: list[Fixture] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ResultFile:
    rows: int = 0
    results: list[ResultRow] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


def read_file(raw: bytes) -> FixtureFile | ResultFile:
    """Read a file of either kind.

    Raises:
        InvalidInput: too large, no text, or its columns are those of neither kind.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidInput(f"a file has at most {MAX_FILE_BYTES // 1024**2} MiB; split it")
    lines = [(number, line) for number, line in enumerate(_LINE_END.split(_decode(raw)), 1) if line.strip()]
    if not lines:
        raise InvalidInput("the file is empty")
    delimiter = max(_DELIMITERS, key=lines[0][1].count)
    columns = [_column(name) for name in _cells(lines[0][1], delimiter)]
    if set(_RESULT_COLUMNS) <= set(columns):
        return _read_results(lines[1:], columns, delimiter)
    missing = {*_FIXTURE_COLUMNS, *_PRICE_COLUMNS[Market.MATCH_RESULT]} - set(columns)
    if missing:
        raise InvalidInput(
            "the file has neither the columns of fixtures (league, kickoff_utc, home_team, away_team, "
            "market_average_home_win, _draw, _away_win) nor those of results (league, Date, HomeTeam, "
            "AwayTeam, FTHG, FTAG)"
        )
    return _read_fixtures(lines[1:], columns, delimiter)


def shift_kickoffs(fixtures: list[Fixture], start: datetime) -> list[Fixture]:
    """Move all kick-offs by one same amount, so that the first is at `start`."""
    if not fixtures:
        return []
    by: timedelta = start - min(fixture.kickoff for fixture in fixtures)
    return [
        Fixture(
            fixture.league,
            fixture.home,
            fixture.away,
            fixture.kickoff + by,
            fixture.odds,
            fixture.source_date,
        )
        for fixture in fixtures
    ]


def _read_fixtures(lines: list[tuple[int, str]], columns: list[str], delimiter: str) -> FixtureFile:
    file = FixtureFile(len(lines))
    seen: dict[Key, int] = {}
    for number, row in _rows(lines, columns, delimiter, file.bad):
        try:
            fixture = _fixture(row)
            _only_once(seen, (fixture.league, fixture.source_date, fixture.home), number)
        except InvalidInput as error:
            file.bad.append(BadRow(number, error.message))
        else:
            file.fixtures.append(fixture)
    file.bad.sort(key=lambda bad: bad.line)
    return file


def _read_results(lines: list[tuple[int, str]], columns: list[str], delimiter: str) -> ResultFile:
    file = ResultFile(len(lines))
    seen: dict[Key, int] = {}
    for number, row in _rows(lines, columns, delimiter, file.bad):
        try:
            result = _result(number, row)
            _only_once(seen, result.key, number)
        except InvalidInput as error:
            file.bad.append(BadRow(number, error.message))
        else:
            file.results.append(result)
    file.bad.sort(key=lambda bad: bad.line)
    return file


def _rows(
    lines: list[tuple[int, str]], columns: list[str], delimiter: str, bad: list[BadRow]
) -> Iterator[tuple[int, Row]]:
    for number, line in lines:
        try:
            cells = _cells(line, delimiter)
        except csv.Error:
            bad.append(BadRow(number, "not valid CSV: a quote is not closed or stands in the wrong place"))
            continue
        if not any(cells):
            continue
        if len(cells) != len(columns):
            bad.append(BadRow(number, f"{len(cells)} cells where the header has {len(columns)}"))
            continue
        yield number, dict(zip(columns, cells, strict=True))


def _fixture(row: Row) -> Fixture:
    home, away = _name(row, "hometeam"), _name(row, "awayteam")
    if home == away:
        raise InvalidInput(f"{home} cannot play against itself")
    kickoff = _kickoff(row["kickoffutc"])
    odds = {Market.MATCH_RESULT: _prices(row, Market.MATCH_RESULT)}
    if any(row.get(column) for column in _PRICE_COLUMNS[Market.TOTAL_2_5]):
        odds[Market.TOTAL_2_5] = _prices(row, Market.TOTAL_2_5)
    return Fixture(_name(row, "league"), home, away, kickoff, odds, kickoff.date())


def _result(number: int, row: Row) -> ResultRow:
    score = Score(_goals(row, "fthg"), _goals(row, "ftag"))
    letter = row.get("ftr", "").upper()
    expected = _RESULT_LETTERS[winning_outcome(Market.MATCH_RESULT, score)]
    if letter and letter != expected:
        raise InvalidInput(f"FTR says {letter[:10]}, but {score} is {expected}")
    try:
        day = date.fromisoformat(row["date"])
    except ValueError:
        raise InvalidInput(f"the date must be like 2024-05-19, not {row['date'][:40]!r}") from None
    return ResultRow(number, _name(row, "league"), day, _name(row, "hometeam"), _name(row, "awayteam"), score)


def _prices(row: Row, market: Market) -> dict[str, Decimal]:
    prices = {}
    for name, column in zip(OUTCOMES[market], _PRICE_COLUMNS[market], strict=True):
        text = row.get(column, "").replace(",", ".")  # in a file with semicolons, 2,10 is 2.10
        if not text:
            raise InvalidInput(f"no price for {market.value} {name}")
        prices[name] = parse_odds(text)
    return prices


def _kickoff(text: str) -> datetime:
    try:
        kickoff = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"kickoff_utc must be like 2023-08-11 19:00:00+00:00, not {text[:40]!r}") from None
    return kickoff.replace(tzinfo=UTC) if kickoff.tzinfo is None else kickoff.astimezone(UTC)


def _goals(row: Row, column: str) -> int:
    text = row[column]
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise InvalidInput(f"{column.upper()} must be a number of goals, not {text[:40]!r}")
    return int(text)


def _name(row: Row, column: str) -> str:
    name = row[column]
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidInput(f"{column} must be a name of 1 to {MAX_NAME} characters, not {name[:40]!r}")
    return name


def _only_once(seen: dict[Key, int], key: Key, line: int) -> None:
    if key in seen:
        league, day, home = key
        raise InvalidInput(f"{home} plays twice in {league} on {day}; the first is on line {seen[key]}")
    seen[key] = line


def _cells(line: str, delimiter: str) -> list[str]:
    row = next(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True))
    return [" ".join(cell.split()) for cell in row]


def _column(name: str) -> str:
    return "".join(name.split()).replace("_", "").lower()


def _decode(raw: bytes) -> str:
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encodings = ["utf-16"] if wide else ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidInput("the file is not text in UTF-8, UTF-16 or Windows-1252")
