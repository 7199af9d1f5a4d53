/** What the site's own server says, and one call per thing the page asks. */

export type Player = { name: string; currency: string; exponent: number; deposit: string }
export type Account = { balance: string; status: string }
export type Movement = {
  seq: string
  id: string
  operator: string
  transaction_id: string
  kind: string
  amount: string
  delta: string
  balance_after: string
  currency: string
  error: string | null
  at: string
}
export type AccountUpdate = { account: Account | null; movements: Movement[]; whole: boolean }

/** The server said no, or (`status` 0) did not answer. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(code)
  }
}

export async function whoIsThere(): Promise<Player | null> {
  return (await call<{ player: Player | null }>('GET', '/api/me')).player
}

export async function login(username: string, password: string): Promise<Player> {
  return (await call<{ player: Player }>('POST', '/api/login', { username, password })).player
}

export async function logout(): Promise<void> {
  await call('POST', '/api/logout', {})
}

export function startSession(lang: string): Promise<{ url: string; origin: string }> {
  return call('POST', '/api/session', { lang })
}

export async function deposit(key: string): Promise<void> {
  await call('POST', '/api/deposit', {}, { 'Idempotency-Key': key })
}

async function call<T>(method: string, url: string, body?: object, headers: Record<string, string> = {}): Promise<T> {
  let answer: Response
  let said: unknown
  try {
    answer = await fetch(url, {
      method,
      headers: { Accept: 'application/json', ...(body && { 'Content-Type': 'application/json' }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
      cache: 'no-store',
      signal: AbortSignal.timeout(12_000),
    })
    said = await answer.json()
  } catch {
    throw new Problem(0, 'NO_ANSWER')
  }
  if (!answer.ok) throw new Problem(answer.status, String((said as { error?: unknown }).error ?? 'ERROR'))
  return said as T
}
