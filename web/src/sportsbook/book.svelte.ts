/** What the page knows of the sportsbook, kept up to date by its hub. */

import { SvelteMap } from 'svelte/reactivity'
import { hostOrigins, tellHost } from '../shared/frame'
import { follow } from '../shared/hub'
import { pickLocale, type Locale } from '../shared/locale'
import { priceMove, type Move } from '../shared/money'
import { PageApi, Refusal, type Bet, type Match, type Outcome, type Session } from './api'
import { forgetBearer } from './bearer'
import { BetSlip, type Memory } from './slip.svelte'

export type Link = 'connecting' | 'open' | 'lost'

const MOVE_SHOWN_MS = 8_000
const BETS_KEPT = 50
const RETRY_MS = 2_000

export class Book {
  session = $state<Session | null>(null)
  matches = $state.raw<Match[]>([])
  bets = $state.raw<Bet[]>([])
  loaded = $state(false)
  link = $state<Link>('connecting')
  ended = $state(false)
  frozen = $state(false)
  now = $state(Date.now())
  slip = $state.raw<BetSlip | null>(null)
  /** Price moves of the last seconds, by outcome. */
  readonly moves = new SvelteMap<string, Move & { until: number }>()
  /** Bets settled while the page was open, for the live region. */
  news = $state.raw<Bet | null>(null)

  readonly #api: PageApi
  #awaited = new Set(['board', 'bets']) // of the whole state that a connection begins with
  #waiting: Match[] | null = null // what arrived while the prices were frozen
  #stop = () => {}

  constructor(api: PageApi) {
    this.#api = api
  }

  get locale(): Locale {
    return pickLocale(this.session?.lang ?? navigator.language)
  }

  async start(): Promise<void> {
    const ticking = setInterval(() => this.#tick(), 1000)
    this.#stop = () => clearInterval(ticking)
    while (this.session === null && !this.ended) {
      try {
        this.session = await this.#openSession()
      } catch (problem) {
        if (problem instanceof Refusal && problem.status === 401) return this.endSession()
        this.link = 'lost'
        await sleep(RETRY_MS)
      }
    }
    if (this.session !== null) this.#begin(this.session)
  }

  stop(): void {
    this.#stop()
  }

  /** Behind https the cookie may work; then the bearer has no more use, and is forgotten. */
  async #openSession(): Promise<Session> {
    if (location.protocol === 'https:') {
      try {
        const session = await new PageApi(null).session()
        this.#api.dropBearer()
        forgetBearer()
        return session
      } catch (problem) {
        if (!(problem instanceof Refusal)) throw problem
      }
    }
    return this.#api.session()
  }

  #begin(session: Session): void {
    this.slip = new BetSlip(
      {
        place: (slip) => this.#api.place(slip),
        bets: () => this.#api.bets(),
        newId: () => newUuid(),
        now: Date.now,
        wait: sleep,
        keep: slipMemory(session),
        onPlaced: (bet) => this.#putBet(bet),
        onSessionEnded: () => this.endSession(),
      },
      session.exponent,
    )
    this.slip.onOddsChanged = (outcomeId, odds) => this.#correctOdds(outcomeId, odds)
    void this.slip.resume()
    const ticking = this.#stop
    const leave = follow({
      url: '/v1/page/hub',
      token: () => this.#api.bearer,
      messages: {
        Board: (matches: Match[]) => {
          this.#takeMatches(matches)
          this.#arrived('board')
        },
        Bets: (bets: Bet[]) => {
          this.bets = bets
          for (const bet of bets) this.slip?.saw(bet)
          this.#arrived('bets')
        },
        Bet: (bet: Bet) => {
          this.#putBet(bet)
          this.slip?.saw(bet)
        },
      },
      isOver: () => this.#isOver(),
      onLost: () => {
        this.#awaited = new Set(['board', 'bets'])
        this.link = 'lost'
      },
      onOver: () => this.endSession(),
    })
    this.#stop = () => {
      ticking()
      leave()
    }
  }

  /** Open is a connection whose state is here, not one that only stands. */
  #arrived(part: 'board' | 'bets'): void {
    this.#awaited.delete(part)
    if (this.#awaited.size > 0) return
    this.loaded = true
    this.link = 'open'
  }

  async #isOver(): Promise<boolean> {
    try {
      await this.#api.session()
      return false
    } catch (problem) {
      return problem instanceof Refusal && problem.status === 401
    }
  }

  #takeMatches(matches: Match[]): void {
    if (this.frozen) this.#waiting = matches
    else this.#show(matches)
  }

  #show(matches: Match[]): void {
    const before = new Map(this.matches.flatMap(outcomesOf).map((outcome) => [outcome.id, outcome.odds]))
    const until = Date.now() + MOVE_SHOWN_MS
    for (const outcome of matches.flatMap(outcomesOf)) {
      const odds = before.get(outcome.id)
      const move = odds === undefined ? null : priceMove(odds, outcome.odds)
      if (move !== null) this.moves.set(outcome.id, { ...move, until })
    }
    this.matches = matches
  }

  freeze(frozen: boolean): void {
    this.frozen = frozen
    if (!frozen && this.#waiting !== null) {
      const matches = this.#waiting
      this.#waiting = null
      this.#takeMatches(matches)
    }
  }

  #correctOdds(outcomeId: string, odds: string): void {
    this.#show(withOdds(this.matches, outcomeId, odds)) // on a frozen screen too: the player is asked about it now
    if (this.#waiting !== null) this.#waiting = withOdds(this.#waiting, outcomeId, odds)
  }

  find(outcomeId: string): { match: Match; outcome: Outcome } | null {
    for (const match of this.matches) {
      const outcome = outcomesOf(match).find((each) => each.id === outcomeId)
      if (outcome !== undefined) return { match, outcome }
    }
    return null
  }

  #putBet(bet: Bet): void {
    const known = this.bets.find((each) => each.id === bet.id)
    if (known?.state === 'accepted' && ['won', 'lost', 'void'].includes(bet.state)) this.news = bet
    this.bets = known === undefined ? [bet, ...this.bets].slice(0, BETS_KEPT) : this.bets.map((each) => (each.id === bet.id ? bet : each))
  }

  #tick(): void {
    this.now = Date.now()
    for (const [id, move] of this.moves) if (move.until <= this.now) this.moves.delete(id)
  }

  endSession(): void {
    this.ended = true
    this.stop()
    forgetBearer()
    if (parent !== window) tellHost(parent, this.hosts, { v: 1, type: 'stakewire.session-ended' })
  }

  /** The origins this page may speak to: none until the session says which are registered. */
  get hosts(): readonly string[] {
    return hostOrigins(this.session?.origins ?? [], location.ancestorOrigins === undefined ? undefined : [...location.ancestorOrigins])
  }
}

function outcomesOf(match: Match): Outcome[] {
  return match.markets.flatMap((market) => market.outcomes)
}

function withOdds(matches: Match[], outcomeId: string, odds: string): Match[] {
  const change = (outcome: Outcome) => (outcome.id === outcomeId ? { ...outcome, odds } : outcome)
  return matches.map((match) => ({ ...match, markets: match.markets.map((market) => ({ ...market, outcomes: market.outcomes.map(change) })) }))
}

/** One player's bet in flight is nobody else's, should two share a tab. */
function slipMemory(session: Session): Memory {
  const key = `stakewire.slip.${session.client}.${session.user_id}`
  return {
    load: () => {
      try {
        return sessionStorage.getItem(key)
      } catch {
        return null
      }
    },
    save: (text) => {
      try {
        if (text === null) sessionStorage.removeItem(key)
        else sessionStorage.setItem(key, text)
      } catch {
        // storage is forbidden in this frame: a reload then shows the bet under "my bets" only
      }
    },
  }
}

/** `crypto.randomUUID` exists in secure contexts only; a page on a plain-http host needs the long way. */
function newUuid(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID()
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
