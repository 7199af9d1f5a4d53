/** Checks the claims of one group and gives `{claim: null | what went wrong}`. */

import { binary, everywhere, negotiated, slow, stateful } from './claims.mjs'

const CLAIM_MS = 15_000

/**
 * `group`: {transport, protocol, skipNegotiation, stateful}; `env`: {signalR, msgpack, base, proxy, control};
 * `width`: how many claims at once beside the slow ones, since a browser opens no more than six connections to a server.
 */
export async function runGroup(group, env, width = Infinity) {
  const claims = group.stateful
    ? stateful
    : { ...everywhere, ...(group.protocol === 'messagepack' ? binary : {}), ...(group.skipNegotiation ? {} : negotiated) }
  const results = {}
  const checkAll = async (waiting) => {
    for (let next; (next = waiting.shift()) !== undefined; ) results[next[0]] = await outcome(() => next[1]({ ...env, ...group, stateful: false }))
  }
  const waiting = Object.entries(claims)
  const lanes = Array.from({ length: Math.min(width, waiting.length) }, () => waiting)
  if (!group.stateful) lanes.push(...Object.entries(slow).map((claim) => [claim]))
  await Promise.all(lanes.map(checkAll))
  return results
}

async function outcome(act) {
  let timer
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not within ${CLAIM_MS} ms`)), CLAIM_MS)))
  try {
    await Promise.race([act(), late])
    return null
  } catch (error) {
    return `${error.message ?? error}\n${error.stack ?? ''}`
  } finally {
    clearTimeout(timer)
  }
}
