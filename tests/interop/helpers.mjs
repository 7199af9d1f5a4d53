/** What the claims are written with: connections of the stock client, and comparisons that say what differed. */

/** A connection that is not started; `env` as the harness made it, with what a claim overrides. */
export function connect(env) {
  const { signalR } = env
  const options = {
    transport: signalR.HttpTransportType[env.transport],
    skipNegotiation: env.skipNegotiation === true,
    accessTokenFactory: 'token' in env ? env.token : async () => (await fetch(`${env.control}/token?user=${env.user ?? 'somebody'}`)).text(),
    logger: signalR.NullLogger.instance,
  }
  const url = new URL(env.path ?? '/hub', env.base)
  for (const [name, value] of new URLSearchParams(env.query ?? '')) url.searchParams.set(name, value)
  let builder = new signalR.HubConnectionBuilder().withUrl(url.href, options).configureLogging(signalR.LogLevel.None)
  if (env.protocol === 'messagepack') builder = builder.withHubProtocol(new env.msgpack.MessagePackHubProtocol())
  if (env.reconnect !== undefined) builder = builder.withAutomaticReconnect(env.reconnect)
  if (env.stateful === true) builder = builder.withStatefulReconnect()
  builder = builder.withServerTimeout(env.serverTimeout ?? 30_000).withKeepAliveInterval(env.keepAlive ?? 300)
  return builder.build()
}

/** Starts a connection, acts, and stops it. */
export async function started(env, act) {
  const hub = connect(env)
  await hub.start()
  try {
    return await act(hub)
  } finally {
    await hub.stop()
  }
}

/** Messages to `target` in order; `next()` waits for one. */
export function heard(hub, target) {
  const messages = []
  const waiting = []
  hub.on(target, (...values) => {
    if (waiting.length > 0) waiting.shift()(values)
    else messages.push(values)
  })
  return { next: () => (messages.length > 0 ? messages.shift() : new Promise((resolve) => waiting.push(resolve))) }
}

/** All items of a stream. */
export function take(stream) {
  return new Promise((resolve, reject) => {
    const items = []
    stream.subscribe({ next: (item) => items.push(item), error: reject, complete: () => resolve(items) })
  })
}

/** Resolves once the connection is back after a break. */
export function backFrom(hub) {
  return new Promise((resolve, reject) => {
    hub.onreconnected(resolve)
    hub.onclose((error) => reject(new Error(`closed instead of coming back: ${error}`)))
  })
}

/** The text of the error that a promise must end with. */
export async function rejected(promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return String(error.message ?? error)
  }
  throw new Error(`no error, but ${JSON.stringify(value)}`)
}

/** Asks until the answer is true. */
export async function eventually(condition) {
  while (!(await condition())) await sleep(20)
}

export function equal(seen, wanted) {
  const [left, right] = [JSON.stringify(seen), JSON.stringify(wanted)]
  if (left !== right) throw new Error(`${left?.slice(0, 300)} instead of ${right?.slice(0, 300)}`)
}

export function check(condition) {
  if (!condition) throw new Error('it is not so')
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
