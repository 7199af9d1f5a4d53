import { expect, test } from 'vitest'
import type { Match, MatchState } from './api'
import { byLeague, inTab, matching, TABS } from './grouping'

function match(id: string, league: string, kickoff: string, state: MatchState = 'scheduled'): Match {
  return { id, league, kickoff, state, home: 'Málaga', away: 'Old Quarry', simulated: false, score: null, markets: [] }
}

test('every state of a match is in exactly one tab', () => {
  for (const state of ['scheduled', 'live', 'finished', 'void'] as const) {
    expect(TABS.filter((tab) => inTab(match('1', 'A', '2030', state), tab))).toHaveLength(1)
  }
})

test('the league with the next kick-off comes first, and in it the next match', () => {
  const matches = [match('1', 'A', '2030-01-03'), match('2', 'B', '2030-01-02'), match('3', 'A', '2030-01-01')]
  expect(byLeague(matches, 'upcoming').map((league) => [league.name, league.matches.map((each) => each.id)])).toEqual([['A', ['3', '1']], ['B', ['2']]])
})

test('of finished matches the latest comes first', () => {
  expect(byLeague([match('1', 'A', '2030-01-01'), match('2', 'A', '2030-01-02')], 'finished')[0]!.matches.map((each) => each.id)).toEqual(['2', '1'])
})

test('a search finds names without their accents, all words in any order', () => {
  expect(matching(match('1', 'La Liga', ''), 'quarry malaga')).toBe(true)
  expect(matching(match('1', 'La Liga', ''), 'LIGA')).toBe(true)
  expect(matching(match('1', 'La Liga', ''), '  ')).toBe(true)
  expect(matching(match('1', 'La Liga', ''), 'malaga rovers')).toBe(false)
})
