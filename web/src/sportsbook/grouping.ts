/** Which matches are shown where, and in what order. */

import type { Match } from './api'

export const TABS = ['upcoming', 'live', 'finished'] as const
export type Tab = (typeof TABS)[number]
export type League = { name: string; key: string; matches: Match[] }

export function inTab(match: Match, tab: Tab): boolean {
  if (tab === 'upcoming') return match.state === 'scheduled'
  if (tab === 'live') return match.state === 'live'
  return match.state === 'finished' || match.state === 'void'
}

/** Whether every word of the search stands in the league's or teams' names, whatever its case and accents. */
export function matching(match: Match, search: string): boolean {
  const names = plain(`${match.league} ${match.home} ${match.away}`)
  return plain(search).split(/\s+/).every((word) => names.includes(word))
}

function plain(text: string): string {
  return text.normalize('NFD').replace(/\p{Diacritic}/gu, '').toLowerCase()
}

/** Leagues with the next kick-off first; of finished matches, the latest first. */
export function byLeague(matches: readonly Match[], tab: Tab): League[] {
  const order = tab === 'finished' ? -1 : 1
  const sorted = [...matches].sort((a, b) => order * a.kickoff.localeCompare(b.kickoff) || a.id.localeCompare(b.id))
  const leagues = new Map<string, League>()
  for (const match of sorted) {
    const league = leagues.get(match.league) ?? { name: match.league, key: String(leagues.size), matches: [] }
    league.matches.push(match)
    leagues.set(match.league, league)
  }
  return [...leagues.values()]
}
