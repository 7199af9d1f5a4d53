/**
 * The hub of the side that served this page: one WebSocket, opened again with growing waits for as long as the page
 * follows. Each connection begins with the whole state, so whatever happened in between needs no catching up.
 */

import { HttpTransportType, HubConnectionBuilder, LogLevel } from '@microsoft/signalr'

export type Follow = {
  url: string
  /** The session, if no cookie carries it; asked for each connection. */
  token: () => string | null
  /** What the hub may say, by name. */
  messages: Record<string, (said: any) => void>
  /** A browser does not tell why a WebSocket was refused, so the page asks whether its session is over. */
  isOver: () => Promise<boolean>
  /** At each break, and at each try that failed. */
  onLost: () => void
  /** The session is over: no more tries. */
  onOver: () => void
}

const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 8_000

/** Follows until the returned function is called. */
export function follow(options: Follow): () => void {
  let stopped = false
  let leave = () => {}
  let wake = () => {}

  const online = () => wake()
  const offline = () => leave()
  addEventListener('online', online)
  addEventListener('offline', offline)

  async function connect(): Promise<boolean> {
    // Without negotiation a connection is one request: it does not matter which of several processes gets it.
    const hub = new HubConnectionBuilder()
      .withUrl(options.url, { transport: HttpTransportType.WebSockets, skipNegotiation: true, accessTokenFactory: () => options.token() ?? '' })
      .configureLogging(LogLevel.None)
      .build()
    for (const [name, take] of Object.entries(options.messages)) hub.on(name, take)
    const closed = new Promise<void>((resolve) => hub.onclose(() => resolve()))
    leave = () => void hub.stop()
    try {
      await hub.start()
    } catch {
      return false
    }
    await closed
    return true
  }

  void (async () => {
    let wait = FIRST_WAIT_MS
    while (!stopped) {
      if (navigator.onLine) {
        const was = await connect()
        if (stopped) return
        options.onLost()
        if (was) wait = FIRST_WAIT_MS
        else if (await options.isOver().catch(() => false)) return options.onOver()
      }
      await Promise.race([sleep(wait * (0.75 + Math.random() / 2)), new Promise<void>((resolve) => (wake = resolve))])
      wait = Math.min(wait * 2, LONGEST_WAIT_MS)
    }
  })()

  return () => {
    stopped = true
    leave()
    wake()
    removeEventListener('online', online)
    removeEventListener('offline', offline)
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
