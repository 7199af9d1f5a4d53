import { expect, test } from 'vitest'
import { EventStreamParser } from './stream'

const TEXT = ': hello\n\nevent: bet\ndata: {"a":\ndata: 1}\n\nevent: ping\ndata:\n\r\ndata:x\r\n\r\nevent: half'
const EVENTS = [
  { name: 'bet', data: '{"a":\n1}' },
  { name: 'ping', data: '' },
  { name: 'message', data: 'x' },
]

test('the same events come out wherever the network cuts the text', () => {
  for (let cut = 0; cut <= TEXT.length; cut += 1) {
    const parser = new EventStreamParser()
    expect([...parser.feed(TEXT.slice(0, cut)), ...parser.feed(TEXT.slice(cut))]).toEqual(EVENTS)
  }
})

test('an event without data is no event, and a name does not leak into the next one', () => {
  const parser = new EventStreamParser()
  expect(parser.feed('event: bet\n\ndata: 1\n\n')).toEqual([{ name: 'message', data: '1' }])
})
