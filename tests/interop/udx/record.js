'use strict'

// Prints the datagrams that two real udx-native streams send each other, as JSON: the vectors of tests/core/udx. They
// pass through a relay, which loses some and records the others. The data that each side received is printed with them.
// Usage: node record.js > ../../core/udx/sessions.json

const dgram = require('dgram')
const { once } = require('events')
const { setTimeout: sleep } = require('timers/promises')
const UDX = require('udx-native')

const HOST = '127.0.0.1'
const IDS = { alice: 11, bob: 22 }

const udx = new UDX()

// A session of two streams. `lose` decides, for the datagrams of each side by number, which ones are lost.
async function session (play, { lose = {}, delay = 2 } = {}) {
  const relay = dgram.createSocket('udp4')
  relay.bind(0, HOST)
  await once(relay, 'listening')
  const sides = {}
  for (const name of ['alice', 'bob']) {
    const socket = udx.createSocket()
    socket.bind(0, HOST)
    const stream = udx.createStream(IDS[name])
    const side = sides[name] = { socket, stream, data: [], messages: [], error: null }
    stream.on('data', data => side.data.push(data))
    stream.on('message', data => side.messages.push(data))
    stream.on('error', error => { side.error = error.message })
    side.closed = new Promise(resolve => stream.on('close', resolve))
  }
  const datagrams = []
  const counts = { alice: 0, bob: 0 }
  const began = Date.now()
  relay.on('message', (data, { port }) => {
    const from = port === sides.alice.socket.address().port ? 'alice' : 'bob'
    const to = from === 'alice' ? 'bob' : 'alice'
    if (lose[from]?.includes(counts[from]++)) return
    datagrams.push({ from, ms: Date.now() - began, hex: data.toString('hex') })
    setTimeout(() => relay.send(data, sides[to].socket.address().port, HOST), delay)
  })
  const { port } = relay.address()
  sides.alice.stream.connect(sides.alice.socket, IDS.bob, port, HOST)
  sides.bob.stream.connect(sides.bob.socket, IDS.alice, port, HOST)
  const { alice, bob } = sides
  await play(alice.stream, bob.stream)
  await Promise.all([alice.closed, bob.closed])
  await Promise.all([alice.socket.close(), bob.socket.close()])
  relay.close()
  const seen = ({ data, messages, error }) => ({
    data: Buffer.concat(data).toString('hex'),
    messages: messages.map(message => message.toString('hex')),
    error
  })
  return { datagrams, alice: seen(alice), bob: seen(bob) }
}

// Returns bytes that differ from packet to packet.
const bytes = size => Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 0xff))

const endAfter = (one, other) => other.on('end', () => other.end()) && one.end()

async function main () {
  const sessions = {
    exchange: await session(async (alice, bob) => {
      bob.on('data', data => bob.write(data))
      alice.write(Buffer.from('hello'))
      await once(alice, 'data')
      alice.write(Buffer.from('hello again'))
      await once(alice, 'data')
      endAfter(alice, bob)
    }),
    empty: await session(async (alice, bob) => endAfter(alice, bob)),
    half: await session(async (alice, bob) => {
      alice.end(Buffer.from('my last words'))
      await once(bob, 'end')
      bob.write(Buffer.from('mine'))
      bob.end()
    }),
    probes: await session(async (alice, bob) => {
      alice.write(bytes(20000))
      endAfter(alice, bob)
    }),
    losses: await session(async (alice, bob) => {
      alice.write(bytes(16000))
      endAfter(alice, bob)
    }, { lose: { alice: [2, 5, 6, 9], bob: [3, 4] } }),
    messages: await session(async (alice, bob) => {
      for (let i = 0; i < 3; i++) await alice.send(Buffer.from(`message ${i}`))
      await alice.send(Buffer.alloc(0))
      alice.write(Buffer.from('data'))
      await once(bob, 'data')
      endAfter(alice, bob)
    }),
    keepalive: await session(async (alice, bob) => {
      alice.setKeepalive(50)
      alice.write(Buffer.from('data'))
      await once(bob, 'data')
      await sleep(180)
      endAfter(alice, bob)
    }),
    destroyed: await session(async (alice, bob) => {
      alice.write(Buffer.from('data'))
      await once(bob, 'data')
      await sleep(20)
      alice.destroy()
    })
  }
  console.log(JSON.stringify(sessions, null, 1))
}

main()
