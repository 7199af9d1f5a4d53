import { expect, test } from 'vitest'
import { forgetBearer, takeBearer } from './bearer'

function browser(hash: string, kept: Record<string, string> = {}) {
  const addresses: string[] = []
  const storage = {
    getItem: (key: string) => kept[key] ?? null,
    setItem: (key: string, value: string) => void (kept[key] = value),
    removeItem: (key: string) => void delete kept[key],
  } as unknown as Storage
  const history = { replaceState: (_state: unknown, _title: string, url?: string | URL | null) => void addresses.push(String(url)) }
  return { location: { hash, pathname: '/play/casino/', search: '' }, history, storage: () => storage, addresses, kept }
}

test('a bearer in the fragment is kept for the tab and leaves the address', () => {
  const page = browser('#s=abc-123_x')
  expect(takeBearer(page)).toBe('abc-123_x')
  expect(page.addresses).toEqual(['/play/casino/'])
  expect(Object.values(page.kept)).toEqual(['abc-123_x'])
})

test('a reload finds the bearer again, until it is forgotten', () => {
  const page = browser('', browserAfterLaunch())
  expect(takeBearer(page)).toBe('abc')
  forgetBearer(page)
  expect(takeBearer(page)).toBeNull()
})

test('a new launch replaces the session of an earlier one', () => {
  const page = browser('#s=new', browserAfterLaunch())
  expect(takeBearer(page)).toBe('new')
  expect(takeBearer({ ...page, location: { ...page.location, hash: '' } })).toBe('new')
})

test('a browser that forbids storage in frames still gets its session', () => {
  const page = { ...browser('#s=abc'), storage: (): Storage => { throw new DOMException('denied', 'SecurityError') } }
  expect(takeBearer(page)).toBe('abc')
  expect(takeBearer({ ...page, location: { ...page.location, hash: '' } })).toBeNull()
})

function browserAfterLaunch(): Record<string, string> {
  const page = browser('#s=abc')
  takeBearer(page)
  return page.kept
}
