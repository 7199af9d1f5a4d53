/**
 * What the sportsbook's page and the platform's page around it say to each other by `postMessage`.
 *
 *   frame -> host  {v: 1, type: "stakewire.size", height}           how tall the page is, in CSS pixels
 *   frame -> host  {v: 1, type: "stakewire.session-ended"}          the session is over: start another one
 *   host -> frame  {v: 1, type: "stakewire.viewport", top, height}  which part of the frame is in sight
 *
 * No message is ever sent to "*": the frame sends to origins its client registered, the host to the frame's own.
 * The last one lets the bet slip stay in sight inside a frame as tall as its page, where nothing scrolls.
 */

export type ToHost = { v: 1; type: 'stakewire.size'; height: number } | { v: 1; type: 'stakewire.session-ended' }
export type Viewport = { v: 1; type: 'stakewire.viewport'; top: number; height: number }

export const SHORTEST = 240
export const TALLEST = 30_000 // a bound: a broken page must not grow its host without end

/** The part of a `MessageEvent` that is looked at. */
export type Received = { origin: string; source: unknown; data: unknown }

/**
 * The registered origins a frame may speak to: the one around it when the browser names it, else all of them
 * (the browser delivers to the one that matches). Empty when the page around it is not registered.
 */
export function hostOrigins(registered: readonly string[], ancestors: readonly string[] | undefined): readonly string[] {
  const exact = registered.filter(isOrigin)
  const around = ancestors?.[0]
  return around === undefined ? exact : exact.filter((origin) => origin === around)
}

function isOrigin(text: string): boolean {
  try {
    const url = new URL(text)
    return (url.protocol === 'https:' || url.protocol === 'http:') && url.origin === text
  } catch {
    return false
  }
}

export function tellHost(host: Pick<Window, 'postMessage'>, origins: readonly string[], message: ToHost): void {
  for (const origin of origins) host.postMessage(message, origin)
}

/** A message of the frame, or `null` when it is from elsewhere or not of this protocol. */
export function fromFrame(event: Received, frame: unknown, frameOrigin: string): ToHost | null {
  if (frame === null || event.source !== frame || event.origin !== frameOrigin) return null
  const data = ours(event.data)
  if (data?.type === 'stakewire.session-ended') return { v: 1, type: 'stakewire.session-ended' }
  if (data?.type !== 'stakewire.size' || !isLength(data.height)) return null
  const height = Math.min(TALLEST, Math.max(SHORTEST, Math.ceil(data.height)))
  return { v: 1, type: 'stakewire.size', height }
}

/** What the host says of the part in sight, or `null` when it is from elsewhere or not of this protocol. */
export function fromHost(event: Received, host: unknown, registered: readonly string[]): Viewport | null {
  if (event.source !== host || !registered.includes(event.origin)) return null
  const data = ours(event.data)
  if (data?.type !== 'stakewire.viewport' || !isLength(data.top) || !isLength(data.height)) return null
  return { v: 1, type: 'stakewire.viewport', top: data.top, height: data.height }
}

function ours(data: unknown): Record<string, unknown> | null {
  if (typeof data !== 'object' || data === null) return null
  const message = data as Record<string, unknown>
  return message.v === 1 ? message : null
}

function isLength(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}
