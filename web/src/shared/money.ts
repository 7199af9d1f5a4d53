/**
 * Money and odds in the browser: integers of the currency's minor unit (`bigint`), never floats.
 *
 * Texts that come from or go to a server are plain decimals with a point ("5.00", "-3.50"). What a person types may
 * also use a comma or Arabic digits.
 */

const PLAIN_DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/

/** What a server wrote, in minor units; `null` when it is no plain decimal or has more places than the currency. */
export function readMoney(text: string, exponent: number): bigint | null {
  const parts = PLAIN_DECIMAL.exec(text)
  if (parts === null) return null
  const decimals = (parts[3] ?? '').replace(/0+$/, '')
  if (decimals.length > exponent) return null
  const minor = BigInt(parts[2]! + decimals.padEnd(exponent, '0'))
  return parts[1] === '-' ? -minor : minor
}

/** Minor units as the plain decimal that servers read, with exactly `exponent` places. */
export function writeMoney(minor: bigint, exponent: number): string {
  const sign = minor < 0n ? '-' : ''
  const digits = (minor < 0n ? -minor : minor).toString().padStart(exponent + 1, '0')
  if (exponent === 0) return sign + digits
  return `${sign}${digits.slice(0, -exponent)}.${digits.slice(-exponent)}`
}

export type StakeProblem = 'empty' | 'not_a_number' | 'too_many_decimals' | 'zero' | 'too_large'
export type Stake = { ok: true; minor: bigint } | { ok: false; problem: StakeProblem }

const MOST_WHOLE_DIGITS = 12 // far above any stake; keeps a mistyped number from filling the slip

/** A stake as a person typed it. */
export function readStake(typed: string, exponent: number): Stake {
  const text = latinDigits(typed).replace(/[\s\u200e\u200f\u061c]/g, '').replace(',', '.')
  if (text === '') return { ok: false, problem: 'empty' }
  if (!/^(\d+\.?\d*|\.\d+)$/.test(text)) return { ok: false, problem: 'not_a_number' }
  const [whole = '', decimals = ''] = text.split('.')
  if (whole.replace(/^0+/, '').length > MOST_WHOLE_DIGITS) return { ok: false, problem: 'too_large' }
  if (decimals.replace(/0+$/, '').length > exponent) return { ok: false, problem: 'too_many_decimals' }
  const minor = BigInt((whole || '0') + decimals.slice(0, exponent).padEnd(exponent, '0'))
  return minor === 0n ? { ok: false, problem: 'zero' } : { ok: true, minor }
}

function latinDigits(text: string): string {
  return text
    .replace(/[٠-٩]/g, (digit) => String(digit.charCodeAt(0) - 0x660))
    .replace(/[۰-۹]/g, (digit) => String(digit.charCodeAt(0) - 0x6f0))
    .replace('٫', '.')
}

/** Stake times odds, rounded once, half up, to the minor unit: the same rule as the sportsbook's own. */
export function potentialReturn(stakeMinor: bigint, odds: string): bigint {
  const { units, scale } = readOdds(odds)
  return (stakeMinor * units * 2n + scale) / (scale * 2n)
}

export type Move = { direction: 'up' | 'down'; by: string }

/** How a price moved, with the size of the step as text; `null` when the value is the same. */
export function priceMove(before: string, after: string): Move | null {
  const places = Math.max(decimalsOf(before), decimalsOf(after))
  const step = scaled(after, places) - scaled(before, places)
  if (step === 0n) return null
  return { direction: step > 0n ? 'up' : 'down', by: writeMoney(step < 0n ? -step : step, places) }
}

function readOdds(odds: string): { units: bigint; scale: bigint } {
  const places = decimalsOf(odds)
  return { units: scaled(odds, places), scale: 10n ** BigInt(places) }
}

function decimalsOf(text: string): number {
  return PLAIN_DECIMAL.exec(text)?.[3]?.length ?? 0
}

function scaled(text: string, places: number): bigint {
  const value = readMoney(text, places)
  if (value === null) throw new TypeError(`not a decimal: ${text}`)
  return value
}

/** An amount for people to read. Digits stay Latin in every language, as on the odds beside them. */
export function showMoney(minor: bigint, exponent: number, currency: string, locale: string): string {
  const plain = writeMoney(minor, exponent) as Intl.StringNumericLiteral
  const places = { minimumFractionDigits: exponent, maximumFractionDigits: exponent }
  const tag = `${locale}-u-nu-latn`
  if (/^[A-Z]{3}$/.test(currency)) {
    return new Intl.NumberFormat(tag, { style: 'currency', currency, ...places }).format(plain)
  }
  return `${new Intl.NumberFormat(tag, places).format(plain)} ${currency}` // USDT and its like are no ISO codes
}
