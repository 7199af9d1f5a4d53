/** One group in Node: `node node.mjs '{"transport": ..., "base": ...}'` prints its results as JSON. */

import { createRequire } from 'node:module'
import { runGroup } from './run.mjs'

const require = createRequire(new URL('../../web/package.json', import.meta.url))
const said = JSON.parse(process.argv[2])
const results = await runGroup(said.group, { ...said.env, signalR: require('@microsoft/signalr'), msgpack: require('@microsoft/signalr-protocol-msgpack') })
console.log(JSON.stringify(results))
process.exit(0) // a claim that failed may have left a connection open
