import { describe, expect, test } from 'vitest'
import { fromFrame, fromHost, hostOrigins, SHORTEST, TALLEST, tellHost } from './frame'

const FRAME = { name: 'the frame' }
const BOOK = 'https://book.example'
const CASINO = 'https://casino.example'
const size = (height: unknown) => ({ v: 1, type: 'stakewire.size', height })

describe('the frame speaks to', () => {
  test('the registered origin around it, and to no other', () => {
    expect(hostOrigins([CASINO, 'https://other.example'], [CASINO])).toEqual([CASINO])
  })
  test('nobody, when the page around it is not registered', () => {
    expect(hostOrigins([CASINO], ['https://thief.example'])).toEqual([])
  })
  test('each registered origin by name where the browser does not tell which is around it', () => {
    expect(hostOrigins([CASINO, 'https://www.casino.example'], undefined)).toEqual([CASINO, 'https://www.casino.example'])
  })
  test('never "*" or anything that is no exact origin', () => {
    expect(hostOrigins(['*', 'null', '', 'https://casino.example/', 'javascript:alert(1)', 'file:///'], undefined)).toEqual([])
  })
  test('each origin with that origin as the target', () => {
    const sent: unknown[] = []
    tellHost({ postMessage: (...args: unknown[]) => void sent.push(args) }, [CASINO], { v: 1, type: 'stakewire.size', height: 700 })
    expect(sent).toEqual([[size(700), CASINO]])
  })
})

describe('the host believes', () => {
  const read = (origin: string, source: unknown, data: unknown) => fromFrame({ origin, source, data }, FRAME, BOOK)

  test('a size from its own frame at the origin it loaded', () => {
    expect(read(BOOK, FRAME, size(700.2))).toEqual(size(701))
  })
  test('no other window and no other origin', () => {
    expect(read(BOOK, { name: 'another window' }, size(700))).toBeNull()
    expect(read('https://thief.example', FRAME, size(700))).toBeNull()
    expect(read(`${BOOK}.thief.example`, FRAME, size(700))).toBeNull()
    expect(fromFrame({ origin: BOOK, source: null, data: size(700) }, null, BOOK)).toBeNull()
  })
  test.each([null, 'stakewire.size', 7, {}, { v: 2, type: 'stakewire.size', height: 700 }, { v: 1, type: 'other', height: 700 }, size('700'), size(Number.NaN), size(-1), size(Infinity)])(
    'nothing that is not of the protocol: %j',
    (data) => {
      expect(read(BOOK, FRAME, data)).toBeNull()
    },
  )
  test('sizes within bounds only', () => {
    expect(read(BOOK, FRAME, size(1))).toEqual(size(SHORTEST))
    expect(read(BOOK, FRAME, size(10_000_000))).toEqual(size(TALLEST))
  })
  test('that the session ended', () => {
    expect(read(BOOK, FRAME, { v: 1, type: 'stakewire.session-ended', extra: 1 })).toEqual({ v: 1, type: 'stakewire.session-ended' })
  })
})

describe('the frame believes', () => {
  const HOST = { name: 'the host' }
  const viewport = { v: 1, type: 'stakewire.viewport', top: 120, height: 640 }

  test('its parent at a registered origin', () => {
    expect(fromHost({ origin: CASINO, source: HOST, data: viewport }, HOST, [CASINO])).toEqual(viewport)
  })
  test('nobody else, and nothing out of shape', () => {
    expect(fromHost({ origin: 'https://thief.example', source: HOST, data: viewport }, HOST, [CASINO])).toBeNull()
    expect(fromHost({ origin: CASINO, source: FRAME, data: viewport }, HOST, [CASINO])).toBeNull()
    expect(fromHost({ origin: CASINO, source: HOST, data: { ...viewport, top: -5 } }, HOST, [CASINO])).toBeNull()
    expect(fromHost({ origin: CASINO, source: HOST, data: { ...viewport, height: 'x' } }, HOST, [CASINO])).toBeNull()
  })
})
