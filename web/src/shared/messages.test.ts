import { describe, expect, test } from 'vitest'
import { MESSAGES as SITE } from '../site/messages'
import { MESSAGES as SPORTSBOOK } from '../sportsbook/messages'
import { LOCALES, minutesAndSeconds, pickLocale, plural } from './locale'

const LATIN_ON_PURPOSE = new Set(['1', 'X', '2']) // the names of outcomes on every sportsbook of the world

describe.each([['sportsbook', SPORTSBOOK], ['site', SITE]])('the texts of the %s', (_page, messages) => {
  const english = flatten(messages.en)

  test.each(LOCALES)('%s has every text of the English ones, and no other', (locale) => {
    expect([...flatten(messages[locale]).keys()]).toEqual([...english.keys()])
  })

  test('no text was left in English, and none is empty', () => {
    for (const [key, text] of flatten(messages.ar)) {
      expect(text.trim(), key).not.toBe('')
      if (!LATIN_ON_PURPOSE.has(text)) expect(text, key).toMatch(/[\u0600-\u06ff]/)
    }
  })

  test('each text names all that it is given', () => {
    for (const locale of LOCALES) {
      for (const [key, text] of flatten(messages[locale])) {
        for (const given of namedIn(english.get(key)!)) expect(text, `${locale} ${key}`).toContain(given)
      }
    }
  })
})

test('an unknown language falls back to English', () => {
  expect(['ar-EG', 'AR', 'en', 'de', '', null].map(pickLocale)).toEqual(['ar', 'ar', 'en', 'en', 'en', 'en'])
})

test('plurals follow the rules of their language', () => {
  const forms = { one: 'one', two: 'two', few: 'few #', many: 'many #', other: 'other #' }
  expect([1, 2, 3, 11, 100].map((count) => plural('ar', count, forms))).toEqual(['one', 'two', 'few 3', 'many 11', 'other 100'])
  expect([1, 2].map((count) => plural('en', count, { one: '# match', other: '# matches' }))).toEqual(['1 match', '2 matches'])
})

test('a countdown never runs below zero and shows whole seconds', () => {
  expect([0, -5000, 999, 61_000, 599_001].map(minutesAndSeconds)).toEqual(['0:00', '0:00', '0:01', '1:01', '10:00'])
})

/** Every text by its path; functions are called with marks that must appear in what they give. */
function flatten(value: unknown, path = ''): Map<string, string> {
  if (typeof value === 'string') return new Map([[path, value]])
  if (typeof value === 'function') return new Map([[path, (value as (...marks: unknown[]) => string)('«a»', '«b»')]])
  return new Map(Object.entries(value as object).flatMap(([key, inner]) => [...flatten(inner, `${path}.${key}`)]))
}

function namedIn(text: string): string[] {
  return ['«a»', '«b»'].filter((mark) => text.includes(mark))
}
