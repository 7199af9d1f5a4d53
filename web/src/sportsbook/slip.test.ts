import { beforeEach, expect, test } from 'vitest'
import { NoAnswer, Refusal, type Bet, type Slip } from './api'
import { BetSlip, SEND_AGAIN_MS, type Desk, type Selection } from './slip.svelte'

const SELECTION: Selection = {
  outcomeId: '11',
  match: { id: '1', league: 'League', home: 'Harbour Town', away: 'Kestrel Vale', kickoff: '2030-01-01T12:00:00Z' },
  market: '1x2',
  outcome: '1',
  odds: '2.10',
}

type Answer = 'accept' | 'pending' | 'lose' | 'lose after placing' | { refuse: string } | Refusal

/** A sportsbook in memory that keeps its promise: one slip id, one bet. */
class Sportsbook {
  bets: Bet[] = []
  sent: Slip[] = []
  clock = 0
  kept: string | null = null
  ended = 0

  constructor(private answers: Answer[] = []) {}

  desk: Desk = {
    place: async (slip) => {
      this.sent.push(slip)
      const answer = this.answers.shift() ?? 'accept'
      if (answer instanceof Refusal) throw answer
      if (answer === 'lose') throw new NoAnswer('lost')
      const bet = this.bets.find((each) => each.slip_id === slip.slip_id) ?? this.#record(slip, answer)
      if (answer === 'lose after placing') throw new NoAnswer('lost')
      return bet
    },
    bets: async () => this.bets,
    newId: () => `slip-${this.sent.length + 1}`,
    now: () => this.clock,
    wait: async (ms) => void (this.clock += ms),
    keep: { load: () => this.kept, save: (text) => void (this.kept = text) },
    onPlaced: () => {},
    onSessionEnded: () => void (this.ended += 1),
  }

  #record(slip: Slip, answer: Answer): Bet {
    const refusal = typeof answer === 'object' && 'refuse' in answer ? answer.refuse : null
    const state = refusal !== null ? 'refused' : answer === 'pending' ? 'pending' : 'accepted'
    const { match, market, outcome } = SELECTION
    const bet: Bet = { id: '1', ...slip, match, market, outcome, currency: 'EUR', state, refusal, payout: null, potential_payout: '', placed_at: '', rolled_back: false }
    this.bets.push(bet)
    return bet
  }
}

let slip: BetSlip
function open(book: Sportsbook, stake = '5'): Sportsbook {
  slip = new BetSlip(book.desk, 2)
  slip.toggle(SELECTION)
  slip.stakeText = stake
  return book
}
beforeEach(() => void open(new Sportsbook()))

test('shows the potential return while the stake is an amount', () => {
  expect(slip.potentialMinor).toBe(1050n)
  slip.stakeText = 'five'
  expect(slip.potentialMinor).toBeNull()
})

test('sends the stake with all its places and the price that was shown', async () => {
  const book = open(new Sportsbook(), '5,5')
  await slip.place()
  expect(book.sent).toEqual([{ slip_id: 'slip-1', outcome_id: '11', odds: '2.10', stake: '5.50' }])
  expect(slip.phase.kind).toBe('accepted')
  expect(book.kept).toBeNull()
})

test('a stake that is no amount is named and nothing is sent', async () => {
  const book = open(new Sportsbook(), '0')
  await slip.place()
  expect(slip.phase).toEqual({ kind: 'editing', problem: 'zero' })
  expect(book.sent).toEqual([])
})

test('a refusal is shown with its reason', async () => {
  open(new Sportsbook([{ refuse: 'INSUFFICENT_FUNDS' }]))
  await slip.place()
  expect(slip.phase).toEqual({ kind: 'refused', reason: 'INSUFFICENT_FUNDS', placed: true })
})

test.each<Answer>(['lose', 'lose after placing'])('a lost answer (%s) is asked for again under the same id, and makes one bet', async (loss) => {
  const book = open(new Sportsbook([loss, loss, 'accept']))
  await slip.place()
  expect(new Set(book.sent.map((each) => each.slip_id))).toEqual(new Set(['slip-1']))
  expect(book.sent).toHaveLength(3)
  expect(book.bets).toHaveLength(1)
  expect(slip.phase.kind).toBe('accepted')
})

test('a bet never heard of is not sent after its time: it is looked for, and then said not to be placed', async () => {
  const book = open(new Sportsbook(Array<Answer>(50).fill('lose')))
  await slip.place()
  expect(slip.phase).toEqual({ kind: 'refused', reason: 'UNKNOWN', placed: false })
  expect(book.clock).toBeGreaterThanOrEqual(SEND_AGAIN_MS)
  expect(book.clock).toBeLessThan(2 * SEND_AGAIN_MS)
})

test('a placed bet whose every answer was lost is found in the list', async () => {
  const book = open(new Sportsbook(Array<Answer>(50).fill('lose after placing')))
  await slip.place()
  expect(slip.phase.kind).toBe('accepted')
  expect(book.bets).toHaveLength(1)
})

test('a reload in the middle goes on with the same bet', async () => {
  const book = open(new Sportsbook(['lose after placing']))
  book.desk.wait = () => new Promise(() => {}) // the page is left here
  void slip.place()
  await Promise.resolve()
  await Promise.resolve()
  await Promise.resolve()
  expect(slip.phase.kind).toBe('checking')
  const reloaded = new BetSlip(book.desk, 2)
  await reloaded.resume()
  expect(reloaded.phase.kind).toBe('accepted')
  expect(reloaded.selection?.outcomeId).toBe('11')
  expect(book.bets).toHaveLength(1)
})

test('a bet that is still pending is followed until the sportsbook decides, here by an event', async () => {
  const book = open(new Sportsbook(['pending']))
  book.desk.wait = async () => slip.saw({ ...book.bets[0]!, state: 'accepted' })
  await slip.place()
  expect(slip.phase.kind).toBe('accepted')
})

test('a changed price goes back to the slip with the new price, and nothing was placed', async () => {
  const book = open(new Sportsbook([new Refusal(409, 'ODDS_CHANGED', '2.05')]))
  const told: unknown[] = []
  slip.onOddsChanged = (...args) => void told.push(args)
  await slip.place()
  expect(slip.phase).toEqual({ kind: 'editing', problem: null })
  expect(told).toEqual([['11', '2.05']])
  slip.acceptOdds('2.05')
  await slip.place()
  expect(book.sent.map((each) => [each.slip_id, each.odds])).toEqual([['slip-1', '2.10'], ['slip-2', '2.05']])
})

test('an ended session keeps the bet in flight for the next one', async () => {
  const book = open(new Sportsbook([new Refusal(401, 'INVALID_TOKEN', null)]))
  await slip.place()
  expect(book.ended).toBe(1)
  expect(book.kept).not.toBeNull()
})

test('nothing disturbs a bet under way', async () => {
  const book = open(new Sportsbook())
  let decide = (): void => {}
  const place = book.desk.place
  book.desk.place = (asked) => new Promise((resolve) => (decide = () => resolve(place(asked))))
  const placing = slip.place()
  slip.toggle({ ...SELECTION, outcomeId: '12' })
  slip.clear()
  await slip.place()
  expect(slip.selection?.outcomeId).toBe('11')
  decide()
  await placing
  expect(book.sent).toHaveLength(1)
})

test('the same price again takes it out of the slip', () => {
  slip.toggle(SELECTION)
  expect(slip.selection).toBeNull()
})
