/** The player's account as it moves: balance and latest movements, from the site's hub. */

import { follow } from '../shared/hub'
import { readMoney } from '../shared/money'
import { whoIsThere, type Account, type AccountUpdate, type Movement } from './api'

const SHOWN = 30

export type MovementKind = 'stake' | 'stakeRefused' | 'payout' | 'nothing' | 'stakeBack' | 'payoutBack' | 'noEffect' | 'deposit' | 'withdrawal' | 'other'

export class LiveAccount {
  account = $state.raw<Account | null>(null)
  /** Newest first. */
  movements = $state.raw<Movement[]>([])
  link = $state<'connecting' | 'open' | 'lost'>('connecting')
  /** The site answers, but cannot reach the wallet. */
  walletAway = $state(false)

  /** Follows until the returned function is called. */
  follow(onLoggedOut: () => void): () => void {
    return follow({
      url: '/api/hub',
      token: () => null,
      messages: { Account: (update: AccountUpdate) => this.take(update) },
      isOver: async () => (await whoIsThere()) === null,
      onLost: () => (this.link = 'lost'),
      onOver: onLoggedOut,
    })
  }

  take(update: AccountUpdate): void {
    this.link = 'open'
    this.walletAway = update.account === null
    if (update.account === null) return
    this.account = update.account
    const fresh = [...update.movements].reverse()
    this.movements = (update.whole ? fresh : [...fresh, ...this.movements]).slice(0, SHOWN)
  }
}

/** What a movement means to the player. */
export function meaning(movement: Movement, exponent: number): MovementKind {
  const delta = readMoney(movement.delta, exponent) ?? 0n
  if (movement.kind === 'bet') return movement.error === null ? 'stake' : 'stakeRefused'
  if (movement.kind === 'result') return delta > 0n ? 'payout' : 'nothing'
  if (movement.kind === 'rollback' || movement.kind === 'tombstone') return delta > 0n ? 'stakeBack' : delta < 0n ? 'payoutBack' : 'noEffect'
  if (movement.kind === 'deposit') return 'deposit'
  return movement.kind.startsWith('withdraw') ? 'withdrawal' : 'other'
}

/** Both ends of a long id, more of the end, where neighbours differ: enough to find it in the other side's log. */
export function shortId(id: string): string {
  return id.length <= 12 ? id : `${id.slice(0, 3)}…${id.slice(-7)}`
}
