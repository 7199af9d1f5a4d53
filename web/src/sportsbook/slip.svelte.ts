/**
 * The bet slip: one selection, its stake, and what became of it.
 *
 * A bet is sent under an id made here. When the answer gets lost, the same id is asked again until the outcome is
 * known, also after a reload, so that the player is never told to try again while a bet may stand.
 */

import { potentialReturn, readStake, writeMoney, type StakeProblem } from '../shared/money'
import { Refusal, type Bet, type MarketKey, type MatchNames, type OutcomeName, type Slip } from './api'

export type Selection = { outcomeId: string; match: MatchNames; market: MarketKey; outcome: OutcomeName; odds: string }

export type Phase =
  | { kind: 'editing'; problem: StakeProblem | null }
  | { kind: 'sending' }
  | { kind: 'checking' }
  | { kind: 'accepted'; bet: Bet }
  | { kind: 'refused'; reason: string; placed: boolean }

/** What the slip needs of the world. */
export type Desk = {
  place: (slip: Slip) => Promise<Bet>
  bets: () => Promise<Bet[]>
  newId: () => string
  now: () => number // ms
  wait: (ms: number) => Promise<void>
  keep: Memory
  onPlaced: (bet: Bet) => void
  onSessionEnded: () => void
}

/** Where a bet in flight outlives a reload. */
export type Memory = { load: () => string | null; save: (text: string | null) => void }

type InFlight = { slip: Slip; selection: Selection; stakeText: string; sentAt: number }

/** As long as this the same slip is sent again; later it is only looked for, for a price so old is nobody's wish. */
export const SEND_AGAIN_MS = 45_000
const WAITS_MS = [800, 1_500, 3_000, 5_000]

export class BetSlip {
  selection = $state<Selection | null>(null)
  stakeText = $state('')
  phase = $state<Phase>({ kind: 'editing', problem: null })
  #inFlight: InFlight | null = null
  readonly #desk: Desk
  readonly #exponent: number

  constructor(desk: Desk, exponent: number) {
    this.#desk = desk
    this.#exponent = exponent
  }

  get busy(): boolean {
    return this.phase.kind === 'sending' || this.phase.kind === 'checking'
  }

  /** The price that the slip holds; none once the bet stands. */
  get held(): Selection | null {
    return this.phase.kind === 'accepted' ? null : this.selection
  }

  /** Stake times odds in minor units; `null` while the stake is no amount. */
  get potentialMinor(): bigint | null {
    const stake = readStake(this.stakeText, this.#exponent)
    return stake.ok && this.selection !== null ? potentialReturn(stake.minor, this.selection.odds) : null
  }

  get stakeMinor(): bigint | null {
    const stake = readStake(this.stakeText, this.#exponent)
    return stake.ok ? stake.minor : null
  }

  /** Takes a price into the slip, or out of it when it is there. A bet under way is never disturbed. */
  toggle(selection: Selection): void {
    if (this.busy) return
    const again = this.selection?.outcomeId === selection.outcomeId && this.phase.kind === 'editing'
    if (this.phase.kind === 'accepted') this.stakeText = ''
    this.selection = again ? null : selection
    this.phase = { kind: 'editing', problem: null }
  }

  clear(): void {
    if (this.busy) return
    this.selection = null
    this.stakeText = ''
    this.phase = { kind: 'editing', problem: null }
  }

  edit(): void {
    if (!this.busy) this.phase = { kind: 'editing', problem: null }
  }

  acceptOdds(odds: string): void {
    if (this.selection !== null && !this.busy) this.selection = { ...this.selection, odds }
  }

  /** Sends the bet and stays with it until its outcome is known. */
  async place(): Promise<void> {
    if (this.selection === null || this.phase.kind !== 'editing') return
    const stake = readStake(this.stakeText, this.#exponent)
    if (!stake.ok) {
      this.phase = { kind: 'editing', problem: stake.problem }
      return
    }
    const slip = {
      slip_id: this.#desk.newId(),
      outcome_id: this.selection.outcomeId,
      odds: this.selection.odds,
      stake: writeMoney(stake.minor, this.#exponent),
    }
    this.phase = { kind: 'sending' }
    await this.#follow({ slip, selection: this.selection, stakeText: this.stakeText, sentAt: this.#desk.now() })
  }

  /** Goes on with a bet that was under way when the page was left. */
  async resume(): Promise<void> {
    const text = this.#desk.keep.load()
    if (text === null || this.busy) return
    const flight = readFlight(text)
    if (flight === null) return this.#desk.keep.save(null)
    this.selection = flight.selection
    this.stakeText = flight.stakeText
    this.phase = { kind: 'checking' }
    await this.#follow(flight)
  }

  /** The hub told of a bet: it may be the one that is waited for. */
  saw(bet: Bet): void {
    if (bet.slip_id === this.#inFlight?.slip.slip_id) this.#settle(bet)
  }

  async #follow(flight: InFlight): Promise<void> {
    this.#inFlight = flight
    this.#desk.keep.save(JSON.stringify(flight))
    for (let tries = 0; this.#inFlight === flight; tries += 1) {
      await this.#ask(flight)
      if (this.#inFlight !== flight) return
      this.phase = { kind: 'checking' }
      await this.#desk.wait(WAITS_MS[Math.min(tries, WAITS_MS.length - 1)]!)
    }
  }

  async #ask(flight: InFlight): Promise<void> {
    try {
      if (this.#desk.now() - flight.sentAt < SEND_AGAIN_MS) {
        const bet = await this.#desk.place(flight.slip)
        if (this.#inFlight === flight) this.#settle(bet)
        return
      }
      const bet = (await this.#desk.bets()).find((each) => each.slip_id === flight.slip.slip_id)
      if (this.#inFlight !== flight) return
      if (bet === undefined) this.#end({ kind: 'refused', reason: 'UNKNOWN', placed: false })
      else this.#settle(bet)
    } catch (problem) {
      if (problem instanceof Refusal && this.#inFlight === flight) this.#refused(problem, flight)
    }
  }

  #settle(bet: Bet): void {
    if (bet.state === 'pending') return // its answer comes with the next event or the next look
    this.#desk.onPlaced(bet)
    if (bet.state === 'refused') this.#end({ kind: 'refused', reason: bet.refusal ?? 'OTHER', placed: true })
    else this.#end({ kind: 'accepted', bet })
  }

  #refused(problem: Refusal, flight: InFlight): void {
    if (problem.status === 429) return // too many requests: asked again after the wait
    if (problem.status === 401) {
      this.#desk.onSessionEnded() // the bet in flight stays in memory: it is looked for after the next login
      this.#inFlight = null
      return
    }
    if (problem.code === 'ODDS_CHANGED') {
      this.#end({ kind: 'editing', problem: null })
      if (problem.odds !== null) this.onOddsChanged(flight.selection.outcomeId, problem.odds)
      return
    }
    this.#end({ kind: 'refused', reason: problem.code, placed: false })
  }

  /** The sportsbook named a price newer than the one on the screen. */
  onOddsChanged: (outcomeId: string, odds: string) => void = () => {}

  #end(phase: Phase): void {
    this.#inFlight = null
    this.#desk.keep.save(null)
    this.phase = phase
  }
}

function readFlight(text: string): InFlight | null {
  try {
    const flight = JSON.parse(text) as InFlight
    return typeof flight.slip.slip_id === 'string' && typeof flight.selection.odds === 'string' ? flight : null
  } catch {
    return null
  }
}
