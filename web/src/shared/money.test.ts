import { describe, expect, test } from 'vitest'
import { potentialReturn, priceMove, readMoney, readStake, showMoney, writeMoney } from './money'

describe('readMoney', () => {
  test.each([
    ['5.00', 2, 500n],
    ['5', 2, 500n],
    ['-3.50', 2, -350n],
    ['10.000', 2, 1000n], // more places, same value
    ['100', 0, 100n],
    ['0.000000000000000001', 18, 1n],
    ['123456789012345678901234.12', 2, 12345678901234567890123412n],
  ])('%s with %i places is exact', (text, exponent, minor) => {
    expect(readMoney(text, exponent)).toBe(minor)
  })

  test.each(['', 'abc', '1e2', '1.', '.5', '1,00', '0.001', ' 1', 'NaN'])('%j is no amount of a two-place currency', (text) => {
    expect(readMoney(text, 2)).toBeNull()
  })
})

describe('writeMoney', () => {
  test('is the inverse of readMoney, with all places written', () => {
    for (const [minor, exponent] of [[0n, 2], [5n, 2], [-5n, 2], [123456n, 2], [7n, 0], [1n, 18], [-(10n ** 30n), 6]] as const) {
      expect(readMoney(writeMoney(minor, exponent), exponent)).toBe(minor)
    }
    expect(writeMoney(5n, 2)).toBe('0.05')
    expect(writeMoney(-1234n, 2)).toBe('-12.34')
    expect(writeMoney(7n, 0)).toBe('7')
  })
})

describe('readStake', () => {
  test.each([
    ['5', 500n],
    ['5.5', 550n],
    ['5,50', 550n],
    [' 1 000.00 ', 100000n],
    ['.5', 50n],
    ['5.', 500n],
    ['0005.00', 500n],
    ['5.500', 550n],
    ['١٢٫٥٠', 1250n],
    ['۱۲.۵', 1250n],
  ])('reads %j as people type it', (typed, minor) => {
    expect(readStake(typed, 2)).toEqual({ ok: true, minor })
  })

  test.each([
    ['', 'empty'],
    ['  ', 'empty'],
    ['0', 'zero'],
    ['0.00', 'zero'],
    ['-5', 'not_a_number'],
    ['1e5', 'not_a_number'],
    ['1,000.00', 'not_a_number'], // ambiguous between languages: asked again rather than guessed
    ['.', 'not_a_number'],
    ['five', 'not_a_number'],
    ['5.001', 'too_many_decimals'],
    ['9999999999999', 'too_large'],
  ])('refuses %j as %s', (typed, problem) => {
    expect(readStake(typed, 2)).toEqual({ ok: false, problem })
  })

  test('a currency without minor units takes whole numbers', () => {
    expect(readStake('100', 0)).toEqual({ ok: true, minor: 100n })
    expect(readStake('100.5', 0)).toEqual({ ok: false, problem: 'too_many_decimals' })
  })
})

describe('potentialReturn', () => {
  test.each([
    [500n, '2.10', 1050n],
    [1n, '1.50', 2n], // 1.5 rounds up
    [1n, '1.49', 1n],
    [3n, '1.35', 4n], // 4.05
    [333n, '1.333', 444n], // 443.889
    [10n ** 24n, '1.01', 101n * 10n ** 22n],
    [500n, '3', 1500n],
  ])('%s minor units at %s give %s', (stake, odds, expected) => {
    expect(potentialReturn(stake, odds)).toBe(expected)
  })
})

describe('priceMove', () => {
  test('names direction and step', () => {
    expect(priceMove('2.10', '2.15')).toEqual({ direction: 'up', by: '0.05' })
    expect(priceMove('2.10', '1.95')).toEqual({ direction: 'down', by: '0.15' })
    expect(priceMove('2.1', '2.10')).toBeNull()
    expect(priceMove('2.1', '2.125')).toEqual({ direction: 'up', by: '0.025' })
  })
})

describe('showMoney', () => {
  test('keeps every digit of an amount that no float could hold', () => {
    expect(showMoney(12345678901234567890123412n, 2, 'EUR', 'en')).toBe('€123,456,789,012,345,678,901,234.12')
  })
  test('shows the currency of each language, with Latin digits', () => {
    expect(showMoney(-350n, 2, 'EUR', 'en')).toBe('-€3.50')
    expect(showMoney(1050n, 2, 'EUR', 'ar')).toMatch(/10\.50/)
    expect(showMoney(100n, 0, 'JPY', 'en')).toBe('¥100')
  })
  test('shows codes that are not ISO ones', () => {
    expect(showMoney(1500000n, 6, 'USDT', 'en')).toBe('1.500000 USDT')
  })
})
