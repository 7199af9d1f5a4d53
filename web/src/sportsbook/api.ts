/** The sportsbook's page API: what it says, and one call per thing the page asks. */

export type OutcomeName = '1' | 'X' | '2' | 'over' | 'under'
export type MarketKey = '1x2' | 'ou2.5'
export type Outcome = { id: string; name: OutcomeName; odds: string; active: boolean }
export type Market = { key: MarketKey; outcomes: Outcome[] }
export type MatchState = 'scheduled' | 'live' | 'finished' | 'void'
export type MatchNames = { id: string; league: string; home: string; away: string; kickoff: string }
export type Match = MatchNames & { state: MatchState; simulated: boolean; score: [number, number] | null; markets: Market[] }

export type BetState = 'pending' | 'accepted' | 'refused' | 'won' | 'lost' | 'void'
export type Bet = {
  id: string
  slip_id: string
  match: MatchNames
  market: MarketKey
  outcome: OutcomeName
  odds: string
  stake: string
  currency: string
  state: BetState
  refusal: string | null
  payout: string | null
  potential_payout: string
  placed_at: string
  rolled_back: boolean
}

export type Session = { client: string; user_id: string; currency: string; exponent: number; lang: string; origins: string[] }
export type Slip = { slip_id: string; outcome_id: string; odds: string; stake: string }

/** The sportsbook answered, and said no. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly odds: string | null,
  ) {
    super(code)
  }
}

/** Nothing understandable came back: the request may or may not have done its work. */
export class NoAnswer extends Error {}

const READ_MS = 10_000
const BET_MS = 12_000 // the sportsbook itself waits 5 s for the wallet

export class PageApi {
  #bearer: string | null
  readonly #fetch: typeof fetch

  constructor(bearer: string | null, fetcher: typeof fetch = (...args) => fetch(...args)) {
    this.#bearer = bearer
    this.#fetch = fetcher
  }

  /** The session cookie works here: nothing is left for the bearer to do. */
  dropBearer(): void {
    this.#bearer = null
  }

  /** Null where the cookie works. */
  get bearer(): string | null {
    return this.#bearer
  }

  session(): Promise<Session> {
    return this.#call<Session>('/v1/page/session', {}, READ_MS)
  }

  async bets(): Promise<Bet[]> {
    return (await this.#call<{ bets: Bet[] }>('/v1/page/bets', {}, READ_MS)).bets
  }

  /** Places a slip. The same `slip_id` again is the same bet, so that a lost answer can be asked for again. */
  async place(slip: Slip): Promise<Bet> {
    const init = { method: 'POST', body: JSON.stringify(slip), headers: { 'Content-Type': 'application/json' } }
    return (await this.#call<{ bet: Bet }>('/v1/page/bets', init, BET_MS)).bet
  }

  #authorization(): Record<string, string> {
    return this.#bearer === null ? {} : { Authorization: `Bearer ${this.#bearer}` }
  }

  async #call<T>(url: string, init: RequestInit, timeout: number): Promise<T> {
    let status: number
    let body: Record<string, unknown>
    try {
      const answer = await this.#fetch(url, {
        ...init,
        headers: { Accept: 'application/json', ...this.#authorization(), ...(init.headers as Record<string, string> | undefined) },
        cache: 'no-store',
        signal: AbortSignal.timeout(timeout),
      })
      status = answer.status
      body = (await answer.json()) as Record<string, unknown>
    } catch (cause) {
      throw new NoAnswer('no answer', { cause })
    }
    if (status === 200) return body as T
    if (status >= 500 || typeof body.error !== 'string') throw new NoAnswer(`status ${status}`)
    throw new Refusal(status, body.error, typeof body.odds === 'string' ? body.odds : null)
  }
}
