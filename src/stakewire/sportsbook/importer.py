"""Fixtures and results from files into the database: the good rows kept, the bad ones named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from stakewire.betting.files import BadRow, FixtureFile, ResultFile, ResultRow, read_file, shift_kickoffs
from stakewire.betting.markets import Market
from stakewire.betting.schedule import Fixture, own_schedule
from stakewire.clock import Clock
from stakewire.postgres.sportsbook import matches as store
from stakewire.postgres.sportsbook.matches import SourceKey, SourceMatch
from stakewire.sportsbook.settlement import Rulings

_BATCH = 500  # rows per transaction


@dataclass(slots=True)
class FixturesImported:
    """What became of a fixture file. Unchanged ones have started or ended, or the file says nothing new."""

    rows: int
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    started: int = 0  # of the imported ones: no bets can be placed on them
    skipped: list[BadRow] = field(default_factory=list)


@dataclass(slots=True)
class ResultsImported:
    """What became of a result file. `unknown` rows name matches that were never imported."""

    rows: int
    results: int = 0
    unchanged: int = 0
    unknown: int = 0
    skipped: list[BadRow] = field(default_factory=list)


class Importer:
    """Writes files into the database; the same file again changes nothing that has begun."""

    def __init__(self, pool: Any, rulings: Rulings, clock: Clock) -> None:
        self._pool = pool
        self._rulings = rulings
        self._clock = clock

    async def load(
        self, raw: bytes, *, kickoff_from: datetime | None = None
    ) -> FixturesImported | ResultsImported:
        """Import a file of fixtures or of results; `kickoff_from` moves the fixtures to begin then.

        Results do not wait for a shifted kick-off: a match that has its result is over.

        Raises:
            InvalidInput: the file as a whole cannot be read.
        """
        file = read_file(raw)
        if isinstance(file, ResultFile):
            return await self._results(file)
        fixtures = file.fixtures if kickoff_from is None else shift_kickoffs(file.fixtures, kickoff_from)
        return await self._fixtures(file, fixtures)

    async def load_own_schedule(self) -> FixturesImported:
        """Put our own small schedule of invented clubs on offer, beginning in a few hours."""
        fixtures = own_schedule(self._clock.now())
        return await self._fixtures(FixtureFile(len(fixtures), fixtures), fixtures)

    async def _fixtures(self, file: FixtureFile, fixtures: Sequence[Fixture]) -> FixturesImported:
        report = FixturesImported(file.rows, skipped=list(file.bad))
        for start in range(0, len(fixtures), _BATCH):
            await self._fixture_batch(fixtures[start : start + _BATCH], report)
        now = self._clock.now()
        report.started = sum(fixture.kickoff <= now for fixture in fixtures)
        return report

    async def _fixture_batch(self, fixtures: Sequence[Fixture], report: FixturesImported) -> None:
        now = self._clock.now()
        async with self._pool.acquire() as conn, conn.transaction():
            known = await store.find_sources(conn, [_key(fixture) for fixture in fixtures])
            new = [fixture for fixture in fixtures if _key(fixture) not in known]
            added = await store.add_matches(conn, new, now)
            offers: list[tuple[int, Market, str, Decimal]] = []
            kickoffs: dict[int, datetime] = {}
            for fixture in fixtures:
                match_id, match = added.get(_key(fixture)), known.get(_key(fixture))
                if match_id is not None:
                    offers += offers_of(match_id, fixture)
                    report.added += 1
                elif match is not None and _open_to_change(match, fixture, now):
                    offers += offers_of(match.id, fixture)
                    kickoffs[match.id] = fixture.kickoff
                    report.updated += 1
                else:  # begun, ended, or being imported by somebody else at this moment
                    report.unchanged += 1
            await store.move_kickoffs(conn, kickoffs, now)
            await store.set_odds(conn, offers)

    async def _results(self, file: ResultFile) -> ResultsImported:
        report = ResultsImported(file.rows, skipped=list(file.bad))
        for start in range(0, len(file.results), _BATCH):
            rows = file.results[start : start + _BATCH]
            async with self._pool.acquire() as conn, conn.transaction():
                known = await store.find_sources(conn, [row.key for row in rows])
            report.unknown += sum(row.key not in known for row in rows)
            to_rule = [row for row in rows if _has_result_to_give(row, known, report)]
            await self._rulings.results([(known[row.key].id, row.score) for row in to_rule])
            report.results += len(to_rule)
        report.skipped.sort(key=lambda bad: bad.line)
        return report


def offers_of(match_id: int, fixture: Fixture) -> list[tuple[int, Market, str, Decimal]]:
    """The outcomes of a fixture as `matches.set_odds` wants them."""
    return [
        (match_id, market, name, odds)
        for market, prices in fixture.odds.items()
        for name, odds in prices.items()
    ]


def _key(fixture: Fixture) -> SourceKey:
    return fixture.league, fixture.source_date, fixture.home


def _open_to_change(match: SourceMatch, fixture: Fixture, now: datetime) -> bool:
    return match.state == "scheduled" and match.kickoff > now and match.away == fixture.away


def _has_result_to_give(row: ResultRow, known: dict[SourceKey, SourceMatch], report: ResultsImported) -> bool:
    """Whether the row brings its match a first result; a row that contradicts what stands is named."""
    match = known.get(row.key)
    if match is None:
        return False
    if match.away != row.away:
        report.skipped.append(BadRow(row.line, f"{row.home} played {match.away} that day, not {row.away}"))
    elif match.state == "void":
        report.skipped.append(BadRow(row.line, f"match {match.id} is void, which is final"))
    elif match.score is not None and match.score != row.score:
        correct = f"match correct {match.id} {row.score.home} {row.score.away}"
        report.skipped.append(BadRow(row.line, f"match {match.id} ended {match.score}; if not, `{correct}`"))
    elif match.score is not None:
        report.unchanged += 1
    else:
        return True
    return False
