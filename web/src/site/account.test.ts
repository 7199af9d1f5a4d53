import { expect, test } from 'vitest'
import { LiveAccount, meaning, shortId } from './account.svelte'
import type { Movement } from './api'

function movement(seq: number, kind = 'bet', delta = '-5.00', error: string | null = null): Movement {
  return { seq: String(seq), id: `w${seq}`, operator: 'demo', transaction_id: `t${seq}`, kind, amount: '5.00', delta, balance_after: '95.00', currency: 'EUR', error, at: '2030-01-01T00:00:00Z' }
}

const account = { balance: '95.00', status: 'active' }

test('movements are shown newest first, and fresh ones go on top', () => {
  const live = new LiveAccount()
  live.take({ account, movements: [movement(1), movement(2)], whole: true })
  live.take({ account, movements: [movement(3)], whole: false })
  expect(live.movements.map((each) => each.seq)).toEqual(['3', '2', '1'])
})

test('a new beginning of the stream replaces what was shown', () => {
  const live = new LiveAccount()
  live.take({ account, movements: [movement(1)], whole: true })
  live.take({ account, movements: [movement(1), movement(2)], whole: true })
  expect(live.movements.map((each) => each.seq)).toEqual(['2', '1'])
})

test('without the wallet the last known balance stays, marked', () => {
  const live = new LiveAccount()
  live.take({ account, movements: [], whole: true })
  live.take({ account: null, movements: [], whole: false })
  expect(live.account).toEqual(account)
  expect(live.walletAway).toBe(true)
})

test('the list is bounded', () => {
  const live = new LiveAccount()
  live.take({ account, movements: Array.from({ length: 500 }, (_, n) => movement(n)), whole: true })
  expect(live.movements).toHaveLength(30)
  expect(live.movements[0]!.seq).toBe('499')
})

test.each([
  ['bet', '-5.00', null, 'stake'],
  ['bet', '0.00', 'INSUFFICENT_FUNDS', 'stakeRefused'],
  ['result', '10.50', null, 'payout'],
  ['result', '0.00', null, 'nothing'],
  ['rollback', '5.00', null, 'stakeBack'],
  ['rollback', '-10.50', null, 'payoutBack'],
  ['rollback', '0.00', null, 'noEffect'],
  ['deposit', '50.00', null, 'deposit'],
  ['withdraw', '-50.00', null, 'withdrawal'],
  ['withdrawal', '-50.00', null, 'withdrawal'],
  ['something new', '1.00', null, 'other'],
])('%s of %s (%s) means %s', (kind, delta, error, expected) => {
  expect(meaning(movement(1, kind, delta, error), 2)).toBe(expected)
})

test('a long id keeps both ends', () => {
  expect(shortId('0123456789abcdef')).toBe('012…9abcdef')
  expect(shortId('short')).toBe('short')
})
