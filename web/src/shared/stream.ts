/**
 * Server-sent events read with `fetch`, because `EventSource` can carry no `Authorization` header.
 *
 * The parser is pure; `follow` keeps one stream open, notices silence, and connects again with growing waits.
 */

export type ServerEvent = { name: string; data: string }

/** Takes text as it arrives, cut anywhere, and gives the events it completed. */
export class EventStreamParser {
  #rest = ''
  #name = ''
  #data: string[] = []

  feed(text: string): ServerEvent[] {
    const events: ServerEvent[] = []
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
      if (line !== '') this.#field(line)
      else {
        if (this.#data.length > 0) events.push({ name: this.#name || 'message', data: this.#data.join('\n') })
        this.#name = ''
        this.#data = []
      }
    }
    return events
  }

  #field(line: string): void {
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'event') this.#name = value
    if (name === 'data') this.#data.push(value)
  }
}

export type StreamState = 'open' | 'lost' | 'ended'
export type Follow = {
  url: string
  headers: () => Record<string, string>
  onEvent: (event: ServerEvent) => void
  /** 'lost' at each break, 'open' when a stream answers again, 'ended' when the server says 401 or 403: no more tries. */
  onState: (state: StreamState) => void
}

const SILENCE_MS = 40_000 // the server pings each 15 s
const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 8_000

/** Follows the stream until the returned function is called. */
export function follow(options: Follow): () => void {
  let stopped = false
  let attempt = new AbortController()
  let wake = () => {}

  const online = () => wake()
  const offline = () => attempt.abort()
  addEventListener('online', online)
  addEventListener('offline', offline)

  void (async () => {
    let wait = FIRST_WAIT_MS
    while (!stopped) {
      attempt = new AbortController()
      const end = await readOnce(options, attempt, () => (wait = FIRST_WAIT_MS))
      if (stopped) return
      options.onState(end)
      if (end === 'ended') return
      await Promise.race([sleep(wait * (0.75 + Math.random() / 2)), new Promise<void>((resolve) => (wake = resolve))])
      wait = Math.min(wait * 2, LONGEST_WAIT_MS)
    }
  })()

  return () => {
    stopped = true
    attempt.abort()
    wake()
    removeEventListener('online', online)
    removeEventListener('offline', offline)
  }
}

async function readOnce(options: Follow, attempt: AbortController, opened: () => void): Promise<'lost' | 'ended'> {
  let silence = setTimeout(() => attempt.abort(), SILENCE_MS)
  try {
    const answer = await fetch(options.url, {
      headers: { Accept: 'text/event-stream', ...options.headers() },
      signal: attempt.signal,
      cache: 'no-store',
    })
    if (answer.status === 401 || answer.status === 403) return 'ended'
    if (!answer.ok || answer.body === null) return 'lost'
    opened()
    options.onState('open')
    const parser = new EventStreamParser()
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return 'lost'
      clearTimeout(silence)
      silence = setTimeout(() => attempt.abort(), SILENCE_MS)
      for (const event of parser.feed(value)) options.onEvent(event)
    }
  } catch {
    return 'lost' // aborted, or the network went away: both are followed by another try
  } finally {
    clearTimeout(silence)
    attempt.abort()
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
