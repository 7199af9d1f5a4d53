/**
 * What the stock client of npm must be able to do with our hub, on whichever transport and protocol: one function a claim.
 * Runs unchanged in Node and in a browser. `env` says where the hub is and how to reach it.
 */

import { backFrom, check, connect, equal, eventually, heard, rejected, sleep, started, take } from './helpers.mjs'

/** Claims on every transport and protocol that take seconds, for the server looks at its clocks once a second. */
export const slow = {
  'a connection whose token expired comes back with a new one': async (env) => {
    const user = crypto.randomUUID()
    let seconds = 1
    const token = async () => (await fetch(`${env.control}/token?user=${user}&seconds=${seconds}`)).text()
    const hub = connect({ ...env, token, reconnect: [0, 100, 1000] })
    const back = backFrom(hub)
    hub.onreconnecting(() => (seconds = 60))
    await eventually(() => hub.start().then(() => true, () => void (seconds *= 2))) // a busy machine starts in more than a second
    await back
    equal(await hub.invoke('Who'), user)
    await hub.stop()
  },

  'pings keep an idle connection': (env) =>
    started({ ...env, serverTimeout: 4000 }, async (hub) => {
      await sleep(4500)
      equal(hub.state, 'Connected')
      equal(await hub.invoke('Add', 1, 1), 2)
    }),
}

/** Claims on every transport and protocol. */
export const everywhere = {
  'a method gives its result': (env) =>
    started(env, async (hub) => {
      equal(await hub.invoke('Add', 2, 40), 42)
      equal(await hub.invoke('Echo', { text: 'ü€😀 \u001f', list: [1, null, 2.5, { deep: true }] }), {
        text: 'ü€😀 \u001f',
        list: [1, null, 2.5, { deep: true }],
      })
      equal(await hub.invoke('Echo', null), null)
    }),

  'a method without a result completes': (env) => started(env, async (hub) => equal((await hub.invoke('Nothing')) ?? null, null)),

  'names of methods know no case, on either side': (env) =>
    started(env, async (hub) => {
      const said = heard(hub, 'rEcEiVe')
      await hub.invoke('tELLcALLER', 'x')
      equal(await said.next(), ['x'])
    }),

  'a call that wants no answer arrives': (env) =>
    started(env, async (hub) => {
      const said = heard(hub, 'Receive')
      await hub.send('TellCaller', 'no answer wanted')
      equal(await said.next(), ['no answer wanted'])
    }),

  'an unknown method is refused, and the connection stays': (env) =>
    started(env, async (hub) => {
      check((await rejected(hub.invoke('NoSuchMethod'))).includes("Unknown hub method 'NoSuchMethod'"))
      equal(await hub.invoke('Add', 1, 1), 2)
    }),

  'wrong arguments are refused, and the connection stays': (env) =>
    started(env, async (hub) => {
      check((await rejected(hub.invoke('Add', 1))).includes('Add'))
      check((await rejected(hub.invoke('Add', 1, 'two'))).includes('Add'))
      check((await rejected(hub.invoke('Add', 1, 2, 3))).includes('Add'))
      equal(await hub.invoke('Add', 1, 1), 2)
    }),

  'an exception says nothing of its text': (env) =>
    started(env, async (hub) => {
      const text = await rejected(hub.invoke('Fail'))
      check(text.includes("An unexpected error occurred invoking 'Fail' on the server."))
      check(!text.includes('secret'))
    }),

  "a HubError's text reaches the caller": (env) =>
    started(env, async (hub) => check((await rejected(hub.invoke('Refuse', 'not on a Sunday'))).includes('not on a Sunday'))),

  'a stream of the server gives its items in order, and ends': (env) =>
    started(env, async (hub) => equal(await take(hub.stream('Count', 25)), Array.from({ length: 25 }, (_, each) => each))),

  'a stream that fails hides why': (env) =>
    started(env, async (hub) => {
      const text = await rejected(take(hub.stream('CountAndFail', 2)))
      check(!text.includes('secret'))
      equal(await hub.invoke('Add', 1, 1), 2)
    }),

  'a cancelled stream ends on the server': (env) =>
    started(env, async (hub) => {
      const name = crypto.randomUUID()
      let items = 0
      await new Promise((resolve, reject) => {
        const following = hub.stream('Endless', name).subscribe({
          next: () => ++items === 3 && resolve(following.dispose()),
          error: reject,
          complete: () => reject(new Error('it has no end')),
        })
      })
      await eventually(() => hub.invoke('HasEnded', name))
    }),

  "a client's stream reaches its method": (env) =>
    started(env, async (hub) => {
      const numbers = new env.signalR.Subject()
      const sum = hub.invoke('Sum', numbers)
      for (let each = 1; each <= 30; each++) numbers.next(each)
      numbers.complete()
      equal(await sum, 465)
    }),

  'streams go both ways at once': (env) =>
    started(env, async (hub) => {
      const numbers = new env.signalR.Subject()
      const doubled = take(hub.stream('Double', numbers))
      for (const each of [1, 2, 3]) numbers.next(each)
      numbers.complete()
      equal(await doubled, [2, 4, 6])
    }),

  "the error of a client's stream reaches its method": (env) =>
    started(env, async (hub) => {
      const numbers = new env.signalR.Subject()
      const sum = hub.invoke('Sum', numbers)
      numbers.next(1)
      numbers.error(new Error('the source dried up'))
      await rejected(sum)
      equal(await hub.invoke('Add', 1, 1), 2)
    }),

  'a client gives a result': (env) =>
    started(env, async (hub) => {
      hub.on('Question', async (question) => `${question} 42`)
      equal(await hub.invoke('Ask', 'How much is it?'), 'How much is it? 42')
    }),

  'a client without the handler gives an error, not silence': (env) =>
    started(env, async (hub) => check((await hub.invoke('AskInVain')).includes("didn't provide a result"))),

  'a group hears what is said to it, and who left hears no more': (env) =>
    started(env, (one) =>
      started(env, async (other) => {
        const room = crypto.randomUUID()
        const [oneHeard, otherHeard] = [heard(one, 'Receive'), heard(other, 'Receive')]
        await one.invoke('Join', room)
        await other.invoke('Join', room)
        await one.invoke('TellGroup', room, 'to both')
        equal(await oneHeard.next(), ['to both'])
        equal(await otherHeard.next(), ['to both'])
        await other.invoke('Leave', room)
        await one.invoke('TellGroup', room, 'to one')
        await other.invoke('TellCaller', 'last')
        equal(await oneHeard.next(), ['to one'])
        equal(await otherHeard.next(), ['last'])
      }),
    ),

  "a user's messages reach all of his connections and nobody else's": (env) => {
    const [user, stranger] = [crypto.randomUUID(), crypto.randomUUID()]
    return started({ ...env, user }, (one) =>
      started({ ...env, user }, (two) =>
        started({ ...env, user: stranger }, async (three) => {
          const all = [one, two, three].map((hub) => heard(hub, 'Receive'))
          await three.invoke('TellUser', user, 'private')
          equal(await all[0].next(), ['private'])
          equal(await all[1].next(), ['private'])
          await three.invoke('TellCaller', 'own')
          equal(await all[2].next(), ['own'])
        }),
      ),
    )
  },

  'the token of the factory names the user, and is fetched anew for each connection': async (env) => {
    let asked = 0
    const user = crypto.randomUUID()
    const token = async () => (asked++, (await fetch(`${env.control}/token?user=${user}`)).text())
    await started({ ...env, token }, async (hub) => equal(await hub.invoke('Who'), user))
    check(asked > 0)
  },

  'a wrong token is refused': async (env) => {
    await rejected(connect({ ...env, token: () => 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.' }).start())
    await rejected(connect({ ...env, token: () => '' }).start())
  },

  'a client comes back by itself after the server closed and allowed it': async (env) => {
    const hub = connect({ ...env, reconnect: [0, 50, 500] })
    await hub.start()
    const back = backFrom(hub)
    await hub.send('Close', true)
    await back
    equal(await hub.invoke('Add', 1, 1), 2)
    await hub.stop()
  },

  'a client stays away when the server closed for good': async (env) => {
    const hub = connect({ ...env, reconnect: [0, 50] })
    await hub.start()
    let reconnecting = false
    hub.onreconnecting(() => (reconnecting = true))
    const closed = new Promise((resolve) => hub.onclose(resolve))
    await hub.send('Close', false)
    await closed
    equal(reconnecting, false)
  },

  'a clean stop is no error on either side': async (env) => {
    const hub = connect(env)
    await hub.start()
    const name = crypto.randomUUID()
    await hub.invoke('NameMe', name)
    const closed = new Promise((resolve) => hub.onclose((error) => resolve(error ?? 'no error')))
    await hub.stop()
    equal(await closed, 'no error')
    await started(env, (other) => eventually(async () => (await other.invoke('Farewell', name)) === 'no error'))
  },

  'a message of 30,000 characters passes both ways': (env) =>
    started(env, async (hub) => equal((await hub.invoke('Echo', 'x'.repeat(30_000))).length, 30_000)),

  'a message over the limit ends the connection': async (env) => {
    const hub = connect(env)
    await hub.start()
    const closed = new Promise((resolve) => hub.onclose(resolve))
    await rejected(hub.invoke('Echo', 'x'.repeat(100_000)))
    if (env.transport !== 'LongPolling' || hub.state === 'Connected') await hub.stop()
    await closed
  },

  'two hundred calls at once all get their own answers': (env) =>
    started(env, async (hub) => {
      const answers = await Promise.all(Array.from({ length: 200 }, (_, each) => hub.invoke('Add', each, 1)))
      equal(answers, Array.from({ length: 200 }, (_, each) => each + 1))
    }),
}

/** Claims of a protocol that carries bytes. */
export const binary = {
  'bytes stay bytes': (env) =>
    started(env, async (hub) => {
      const bytes = Uint8Array.from({ length: 256 }, (_, each) => each)
      equal([...(await hub.invoke('Echo', bytes))], [...bytes])
    }),
}

/** Claims of whoever negotiates. */
export const negotiated = {
  'a redirect is followed, with its token': async (env) => {
    const user = crypto.randomUUID()
    await started({ ...env, path: `/redirected?user=${user}`, token: undefined }, async (hub) => equal(await hub.invoke('Who'), user))
  },

  'the connection knows its id, and the server the same': (env) =>
    started(env, async (hub) => equal(await hub.invoke('MyConnectionId'), hub.connectionId)),
}

/** Claims of stateful reconnect: the TCP connection goes through a proxy that cuts it. */
export const stateful = {
  'a call in flight when the line is cut gets its answer': (env) =>
    unbroken(env, async (hub, cut) => {
      const answer = hub.invoke('Slow', 200, 'kept')
      await sleep(50)
      await cut()
      equal(await answer, 'kept')
    }),

  'a stream goes on over many cuts, with nothing lost or doubled': (env) =>
    unbroken(env, async (hub, cut) => {
      const stream = take(hub.stream('Paced', 120, 4))
      for (let each = 0; each < 6; each++) {
        await sleep(60)
        await cut()
      }
      equal(await stream, Array.from({ length: 120 }, (_, each) => each))
    }),

  "a client's stream goes on over a cut": (env) =>
    unbroken(env, async (hub, cut) => {
      const numbers = new env.signalR.Subject()
      const sum = hub.invoke('Sum', numbers)
      for (let each = 1; each <= 60; each++) {
        numbers.next(each)
        if (each % 20 === 0) await cut()
        await sleep(2)
      }
      numbers.complete()
      equal(await sum, 1830)
    }),

  'a line cut in the middle of a message, ever further on': (env) =>
    unbroken(env, async (hub, cut) => {
      for (let bytes = 1; bytes <= 160; bytes += 7) {
        await cut(bytes)
        equal(await hub.invoke('Echo', `cut after ${bytes} bytes`), `cut after ${bytes} bytes`)
      }
    }),
}

/** Runs with a connection through the proxy that may lose its TCP connection but never notices; `cut(n)`: after n more bytes. */
async function unbroken(env, act) {
  const line = crypto.randomUUID()
  const hub = connect({ ...env, base: env.proxy, stateful: true, query: `line=${line}` })
  const events = []
  hub.onreconnecting(() => events.push('reconnecting'))
  hub.onclose((error) => events.push(`closed ${error}`))
  await hub.start()
  const id = hub.connectionId
  await act(hub, async (bytes = 0) => {
    const answer = await fetch(`${env.control}/cut?line=${line}&after=${bytes}`)
    if (!answer.ok) throw new Error(`no line to cut: ${answer.status}`)
  })
  equal(events, [])
  equal(hub.connectionId, id)
  await hub.stop()
}
