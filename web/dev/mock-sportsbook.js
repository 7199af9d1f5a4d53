/**
 * A stand-in for the sportsbook's page API while working on the page alone: `npm run dev`, then open /#s=dev.
 *
 * A stake of 13 is refused for lack of money, 14 has an unknown outcome, 15 loses its first answer, 16 finds the odds
 * changed. Never part of a build.
 */

import WebSocket from 'ws'

const END = '\u001e' // of each message of a hub

const CLUBS = [
  ['Northern League', 'Harbour Town', 'Kestrel Vale'], ['Northern League', 'Old Quarry', 'Miller’s Reach'],
  ['Northern League', 'Saltmarsh United', 'Ironbridge Rovers'], ['Coastal Cup', 'Lantern Bay', 'Port Esker'],
  ['Coastal Cup', 'Windward', 'Gullhaven Athletic'], ['Premier Division', 'Ashby Forest', 'Tarn City'],
]

export function mockSportsbook() {
  const hub = new WebSocket.Server({ noServer: true })
  const bets = []
  const lost = new Set()
  const matches = CLUBS.map(([league, home, away], index) => ({
    id: String(index + 1), league, home, away, simulated: league !== 'Premier Division',
    kickoff: new Date(Date.now() + [-90e3, 45e3, 170e3, 1200e3, -600e3, 30 * 3600e3][index]).toISOString(),
    state: ['live', 'scheduled', 'scheduled', 'scheduled', 'finished', 'scheduled'][index],
    score: [[1, 0], null, null, null, [2, 2], null][index],
    markets: [
      { key: '1x2', outcomes: ['1', 'X', '2'].map((name, n) => ({ id: `${index}${n}`, name, odds: ['2.10', '3.40', '3.55'][n], active: index !== 0 && index !== 4 })) },
      { key: 'ou2.5', outcomes: ['over', 'under'].map((name, n) => ({ id: `${index}${n + 3}`, name, odds: ['1.95', '1.87'][n], active: index !== 0 && index !== 4 && index !== 3 })) },
    ],
  }))
  const outcomes = () => matches.flatMap((match) => match.markets.flatMap((market) => market.outcomes.map((outcome) => ({ match, market, outcome }))))
  const message = (target, said) => JSON.stringify({ type: 1, target, arguments: [said] }) + END
  const tell = (target, said) => hub.clients.forEach((page) => page.send(message(target, said)))

  function place({ slip_id, outcome_id, odds, stake }) {
    const earlier = bets.find((bet) => bet.slip_id === slip_id)
    if (earlier) return [200, { bet: earlier }]
    const { match, market, outcome } = outcomes().find((each) => each.outcome.id === outcome_id)
    if (stake === '16.00' && odds === outcome.odds) outcome.odds = (Number(outcome.odds) - 0.05).toFixed(2)
    if (odds !== outcome.odds) return [409, { error: 'ODDS_CHANGED', message: 'the odds changed', odds: outcome.odds }]
    const refusal = { '13.00': 'INSUFFICENT_FUNDS', '14.00': 'UNKNOWN' }[stake] ?? null
    const potential = ((Math.round(Number(stake) * 100) * Math.round(Number(odds) * 100)) / 1e4).toFixed(2)
    const bet = {
      id: String(7000 + bets.length), slip_id, match, market: market.key, outcome: outcome.name, odds, stake, currency: 'EUR',
      state: refusal ? 'refused' : 'accepted', refusal, payout: null, potential_payout: potential, placed_at: new Date().toISOString(), rolled_back: false,
    }
    bets.unshift(bet)
    if (!refusal) setTimeout(() => tell('Bet', Object.assign(bet, Math.random() < 0.5 ? { state: 'won', payout: potential } : { state: 'lost', payout: '0.00' })), 15000)
    return [200, { bet }]
  }

  return {
    name: 'mock-sportsbook',
    apply: 'serve',
    configureServer(server) {
      const drift = setInterval(() => {
        const { match, outcome } = outcomes()[Math.floor(Math.random() * 30)]
        if (match.state !== 'scheduled') return
        if (Math.random() < 0.15) outcome.active = !outcome.active
        else outcome.odds = Math.max(1.05, Number(outcome.odds) + (Math.random() < 0.5 ? 0.05 : -0.05)).toFixed(2)
        tell('Board', matches)
      }, 1500)
      drift.unref()
      server.httpServer.on('upgrade', (request, socket, head) => {
        if (!request.url.startsWith('/v1/page/hub')) return
        hub.handleUpgrade(request, socket, head, (page) => {
          page.once('message', () => page.send(`{}${END}${message('Bets', bets)}${message('Board', matches)}`))
          const ping = setInterval(() => page.send(`{"type":6}${END}`), 15000)
          page.on('close', () => clearInterval(ping))
        })
      })
      server.middlewares.use('/v1/page', (request, response) => {
        const answer = (status, body) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
        if (request.url === '/session') return answer(200, { client: 'demo-casino', user_id: 'alice', currency: 'EUR', exponent: 2, lang: new URL(request.headers.referer ?? 'http://x').searchParams.get('lang') ?? 'en', origins: [] })
        if (request.method === 'GET') return answer(200, { bets })
        let body = ''
        request.on('data', (part) => (body += part)).on('end', () => {
          const asked = JSON.parse(body)
          const [status, answered] = place(asked)
          if (asked.stake === '15.00' && !lost.has(asked.slip_id)) return lost.add(asked.slip_id) && request.destroy()
          setTimeout(() => answer(status, answered), 700)
        })
      })
    },
  }
}
