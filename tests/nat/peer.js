'use strict'

// A host with HyperDHT, driven over stdin and stdout (see ../interop/hypercore9/lines.js): node peer.js BOOTSTRAP.
// Each `open` makes a new node, with sockets and a key of its own.

const { createRequire } = require('module')
const { join } = require('path')

const load = createRequire(join(__dirname, '../interop/hyperswarm/package.json'))
const HyperDHT = load('hyperdht')
const { emit, serve } = require('../interop/hypercore9/lines')

const bootstrap = process.argv.slice(2).map(host => ({ host, port: 49737 }))
const nodes = new Map()
const relays = new Map()

// Reports the connections of a server. The key names the server.
function follow (stream, key) {
  const publicKey = stream.remotePublicKey.toString('hex')
  stream.on('connect', () => emit('accepted', { key, publicKey }))
  stream.on('error', error => emit('failed', { key, publicKey, reason: error.message }))
  stream.on('close', () => emit('closed', { key, publicKey }))
}

function open (options) {
  const dht = new HyperDHT({ bootstrap, ...options })
  const key = dht.defaultKeyPair.publicKey.toString('hex')
  nodes.set(key, dht)
  return { dht, key }
}

serve({
  // With `relay`, the key of a blind relay, the node names it to those who dial.
  async listen ({ relay }) {
    const { dht, key } = open()
    await dht.fullyBootstrapped()
    const relayThrough = relay ? Buffer.from(relay, 'hex') : null
    const server = dht.createServer({ relayThrough }, stream => follow(stream, key))
    await server.listen()
    return { key }
  },
  // `relay` is the key of a blind relay, which the node names when it dials.
  async open ({ relay }) {
    const { dht, key } = open()
    await dht.fullyBootstrapped()
    if (relay) relays.set(key, Buffer.from(relay, 'hex'))
    return { key }
  },
  // Runs a blind relay.
  async relay () {
    const { dht, key } = open({ firewalled: false })
    await dht.fullyBootstrapped()
    const { Server } = load('blind-relay')
    const relay = new Server({ createStream: options => dht.createRawStream({ ...options, framed: true }) })
    const server = dht.createServer(stream => {
      stream.on('error', () => {})
      relay.accept(stream, { id: stream.remotePublicKey }).on('error', () => {})
    })
    await server.listen()
    return { key }
  },
  // Returns the seconds until the first bytes of the other side arrive.
  async dial ({ key, publicKey }) {
    const began = performance.now()
    const relayThrough = relays.get(key) ?? null
    const stream = nodes.get(key).connect(Buffer.from(publicKey, 'hex'), { relayThrough })
    await new Promise((resolve, reject) => stream.on('connect', resolve).on('error', reject))
    return { seconds: (performance.now() - began) / 1000, host: stream.rawStream.remoteHost }
  },
  state ({ key }) {
    const dht = nodes.get(key)
    const nat = !dht.firewalled ? 'open' : dht.host === null ? 'unknown' : dht.port ? 'consistent' : 'random'
    return { nat, nodes: dht.toArray().length, punches: dht.stats.punches }
  },
  async close ({ key }) {
    await nodes.get(key).destroy({ force: true })
    nodes.delete(key)
  }
})
