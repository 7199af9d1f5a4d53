/**
 * The session bearer, for browsers that keep no cookie of a frame: it comes once in the fragment, which no server
 * sees, leaves the address at once, and lives in this tab's `sessionStorage`.
 */

const KEY = 'stakewire.session'

type Places = { location: Pick<Location, 'hash' | 'pathname' | 'search'>; history: Pick<History, 'replaceState'>; storage: () => Storage }

const HERE: Places = { get location() { return location }, get history() { return history }, storage: () => sessionStorage }

export function takeBearer(places: Places = HERE): string | null {
  const fresh = new URLSearchParams(places.location.hash.slice(1)).get('s')
  if (fresh !== null && fresh !== '') {
    places.history.replaceState(null, '', places.location.pathname + places.location.search)
    guarded(() => places.storage().setItem(KEY, fresh))
    return fresh
  }
  return guarded(() => places.storage().getItem(KEY)) ?? null
}

export function forgetBearer(places: Places = HERE): void {
  guarded(() => places.storage().removeItem(KEY))
}

/** A browser may forbid storage in frames: then the bearer lives as long as the page. */
function guarded<T>(touch: () => T): T | undefined {
  try {
    return touch()
  } catch {
    return undefined
  }
}
