import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { follow, type Follow } from './hub'

/** A connection that the test opens, refuses or breaks. */
class Connection {
  static all: Connection[] = []
  takes = new Map<string, (said: unknown) => void>()
  open!: () => void
  refuse!: (why: Error) => void
  end = () => {}

  constructor() {
    Connection.all.push(this)
  }

  on(name: string, take: (said: unknown) => void): void {
    this.takes.set(name, take)
  }

  onclose(tell: () => void): void {
    this.end = tell
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.open = resolve
      this.refuse = reject
    })
  }

  async stop(): Promise<void> {
    this.refuse(new Error('stopped'))
    this.end()
  }
}

vi.mock('@microsoft/signalr', () => ({
  HttpTransportType: { WebSockets: 1 },
  LogLevel: { None: 6 },
  HubConnectionBuilder: class {
    withUrl() {
      return this
    }
    configureLogging() {
      return this
    }
    build() {
      return new Connection()
    }
  },
}))

const page = new EventTarget()
let online: boolean
let events: string[]
let over: boolean
let leave: () => void

beforeEach(() => {
  vi.useFakeTimers()
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  Connection.all = []
  online = true
  events = []
  over = false
  vi.stubGlobal('navigator', { get onLine() { return online } })
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page))
  vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page))
  const options: Follow = {
    url: '/hub',
    token: () => null,
    messages: { Board: (said) => events.push(`board ${said}`) },
    isOver: async () => (events.push('asked'), over),
    onLost: () => events.push('lost'),
    onOver: () => events.push('over'),
  }
  leave = follow(options)
})

afterEach(() => {
  leave()
  vi.useRealTimers()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

const newest = () => Connection.all.at(-1)!
const settle = () => vi.advanceTimersByTimeAsync(0)

test('what the hub says arrives, and a break is followed by a new connection', async () => {
  newest().open()
  newest().takes.get('Board')!(1)
  await settle()
  newest().end()
  await settle()
  expect(events).toEqual(['board 1', 'lost'])
  await vi.advanceTimersByTimeAsync(500)
  expect(Connection.all).toHaveLength(2)
})

test('after a refusal the page asks whether its session is over, and if so gives up', async () => {
  newest().refuse(new Error('closed'))
  await settle()
  expect(events).toEqual(['lost', 'asked'])
  over = true
  await vi.advanceTimersByTimeAsync(500)
  newest().refuse(new Error('closed'))
  await vi.advanceTimersByTimeAsync(60_000)
  expect(events).toEqual(['lost', 'asked', 'lost', 'asked', 'over'])
  expect(Connection.all).toHaveLength(2)
})

test('waits between tries grow to eight seconds, and begin anew after a connection that stood', async () => {
  for (const wait of [500, 1000, 2000, 4000, 8000, 8000]) {
    const tries = Connection.all.length
    newest().refuse(new Error('closed'))
    await vi.advanceTimersByTimeAsync(wait - 1)
    expect(Connection.all).toHaveLength(tries)
    await vi.advanceTimersByTimeAsync(1)
    expect(Connection.all).toHaveLength(tries + 1)
  }
  newest().open()
  await settle()
  newest().end()
  const tries = Connection.all.length
  await vi.advanceTimersByTimeAsync(500)
  expect(Connection.all).toHaveLength(tries + 1)
})

test('without a network nothing is tried, and its return is acted on at once', async () => {
  newest().open()
  await settle()
  online = false
  page.dispatchEvent(new Event('offline'))
  await vi.advanceTimersByTimeAsync(60_000)
  expect(events).toEqual(['lost'])
  expect(Connection.all).toHaveLength(1)
  online = true
  page.dispatchEvent(new Event('online'))
  await settle()
  expect(Connection.all).toHaveLength(2)
})

test('who leaves is told nothing more', async () => {
  leave()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(events).toEqual([])
  expect(Connection.all).toHaveLength(1)
})
