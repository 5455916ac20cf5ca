'use strict'

// One real hyperdrive 11 or 13 peer, driven over stdin and stdout (see ../hypercore9/lines.js).
// Usage: node peer.js STORAGE [PACKAGES]: the directory of its corestore, and the node_modules to use.
// Keys are in hex, message bytes in base64.

const { createHash } = require('crypto')
const { readdirSync } = require('fs')
const { createRequire } = require('module')
const { join } = require('path')
const { setImmediate: nextTurn } = require('timers/promises')

const loadUdx = createRequire(join(__dirname, '../udx/package.json'))
const load = createRequire(join(process.argv[3] ?? __dirname, 'package.json'))
const SecretStream = load('@hyperswarm/secret-stream')
const c = load('compact-encoding')
const Corestore = load('corestore')
const Hyperdrive = load('hyperdrive')
const Protomux = load('protomux')

const { emit, serve } = require('../hypercore9/lines')
const { LoopbackSwarm } = require('../hypercore9/loopback')
const requestCommands = require('../hypercore9/requests')
const swarmCommands = require('../hyperswarm/commands')

const SENDS_PER_TURN = 1000
const RAW_TYPES = 4 // message types of a bare channel

const STORAGE = process.argv[2]
const swarm = new LoopbackSwarm()
const swarms = [swarm] // the peer's own swarm, and those of bare muxes
let udxSocket // from "udxBind" on
const streams = new Set() // includes streams whose handshake is not finished
const drives = new Map() // by key
const topics = [] // by handle
const muxes = [] // bare ones, by number
const channels = [] // of bare muxes, by number
let store, keyPair, timeout // from "start" on

const hex = buffer => buffer.toString('hex')
const unhex = text => Buffer.from(text, 'hex')
const base64 = buffer => Buffer.from(buffer).toString('base64')
const unbase64 = text => Buffer.from(text, 'base64')

function uint32 (number) {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(number)
  return buffer
}

// Counts and digests messages with their lengths, so that two sides can compare long sequences.
class Tally {
  constructor () {
    this.count = 0
    this.bytes = 0
    this._hash = createHash('sha256')
  }

  add (message) {
    this.count++
    this.bytes += message.length
    this._hash.update(uint32(message.length)).update(message)
  }

  toJSON () {
    return { count: this.count, bytes: this.bytes, sha256: this._hash.copy().digest('hex') }
  }
}

function onConnection (wire, { client }) {
  const stream = new SecretStream(client, wire, { keyPair })
  stream.on('connect', () => emit('connection', { publicKey: hex(stream.remotePublicKey) }))
  adopt(stream)
}

// The handshake of a swarm's stream is already over.
function adopt (stream) {
  let failure = null
  if (stream.handshakeHash) emit('connection', { publicKey: hex(stream.remotePublicKey), client: stream.isInitiator })
  stream.on('error', error => { failure = error })
  stream.on('close', () => {
    streams.delete(stream)
    emit('connection-closed', {
      publicKey: stream.remotePublicKey && hex(stream.remotePublicKey), // null without a handshake
      error: failure?.message ?? null
    })
  })
  if (timeout) stream.setTimeout(timeout)
  streams.add(stream)
  store.replicate(stream)
}

// Uses a session of its own, because a hyperdrive closes the corestore that it gets.
async function openDrive (session, key) {
  const drive = new Hyperdrive(session, key)
  drive.core.on('peer-add', peer => reportPeer('peer-add', drive, peer))
  drive.core.on('peer-remove', peer => reportPeer('peer-remove', drive, peer))
  drive.core.on('peer-remove', peerLeft)
  await drive.ready()
  drives.set(hex(drive.key), drive)
  return describe(drive)
}

function reportPeer (event, drive, peer) {
  emit(event, { drive: hex(drive.key), publicKey: hex(peer.remotePublicKey) })
}

const describe = drive => ({ key: hex(drive.key), discoveryKey: hex(drive.discoveryKey) })

function driveOf (key) {
  const drive = drives.get(key)
  if (!drive) throw new Error(`Drive is not open: ${key}`)
  return drive
}

function peerOf (drive, publicKey) {
  const peer = drive.core.peers.find(peer => hex(peer.remotePublicKey) === publicKey)
  if (!peer) throw new Error(`Unknown peer: ${publicKey}`)
  return peer
}

async function timed (operation) {
  const began = performance.now()
  const result = await operation()
  return { ...result, ms: performance.now() - began }
}

// For one connection with nothing on it: no drive, no corestore.
function bareSwarm () {
  const mux = muxes.push(null) - 1
  const swarm = new LoopbackSwarm()
  swarms.push(swarm)
  swarm.on('connection', (wire, { client }) => {
    const stream = new SecretStream(client, wire)
    let failure = null
    stream.on('connect', () => emit('mux-open', { mux, publicKey: hex(stream.remotePublicKey) }))
    stream.on('error', error => { failure = error })
    stream.on('close', () => emit('mux-closed', { mux, error: failure?.message ?? null }))
    muxes[mux] = new Protomux(stream)
  })
  return { mux, swarm }
}

async function bareConnect (port) {
  const bare = bareSwarm()
  await bare.swarm.connect(port)
  return bare.mux
}

function bareChannel (mux, { protocol, channelId, handshake, aliases }) {
  const number = channels.length
  const messages = Array.from({ length: RAW_TYPES }, (_, type) => ({
    encoding: c.raw,
    onmessage: message => emit('channel-message', { channel: number, type, message: base64(message) })
  }))
  const channel = mux.createChannel({
    protocol,
    aliases,
    id: channelId ? unhex(channelId) : null,
    handshake: c.raw,
    messages,
    onopen: remote => emit('channel-open', { channel: number, handshake: base64(remote) }),
    onclose: remote => emit('channel-closed', { channel: number, remote })
  })
  if (!channel) throw new Error('Channel is open')
  channels.push(channel)
  channel.open(unbase64(handshake))
  return { channel: number }
}

swarm.on('connection', onConnection)

const { stop: stopSwarm, ...swarmed } = swarmCommands(load, emit, { adopt, identity: () => keyPair })
const { peerLeft, ...requests } = requestCommands(
  ({ drive, topic }, options) => driveOf(drive).core.registerExtension(`peersockets/v0/${topic}`, options),
  ({ drive }, publicKey) => peerOf(driveOf(drive), publicKey))

serve({
  ...requests,
  ...swarmed,

  // `timeout`: the milliseconds of our silence that a connection survives.
  async start ({ seed, timeout: silence }) {
    timeout = silence
    keyPair = SecretStream.keyPair(seed && unhex(seed))
    store = new Corestore(STORAGE)
    await store.ready()
    return { publicKey: hex(keyPair.publicKey) }
  },

  listen: async ({ port }) => ({ port: await swarm.listen(port) }),
  connect: ({ port, host }) => swarm.connect(port, host),

  // The same over UDX: streams on one socket, with given ids at both ends.
  udxBind () {
    const UDX = loadUdx('udx-native')
    udxSocket = new UDX().createSocket()
    udxSocket.bind(0, '127.0.0.1')
    return { port: udxSocket.address().port }
  },
  udxConnect ({ local, remote, port, client }) {
    const stream = udxSocket.udx.createStream(local)
    stream.connect(udxSocket, remote, port, '127.0.0.1')
    onConnection(stream, { client })
  },

  disconnect ({ publicKey }) {
    const doomed = [...streams].filter(({ remotePublicKey }) => !publicKey || remotePublicKey?.equals(unhex(publicKey)))
    for (const stream of doomed) stream.destroy()
    return { count: doomed.length }
  },
  pauseSockets: () => swarm.setDeaf(true),
  resumeSockets: () => swarm.setDeaf(false),
  silence: () => swarm.silence(),
  stats: () => ({
    rss: process.memoryUsage.rss(),
    files: readdirSync('/proc/self/fd').length,
    connections: streams.size
  }),

  createDrive: () => openDrive(store.namespace(String(drives.size)), null),
  openDrive: ({ key }) => drives.has(key) ? describe(drives.get(key)) : openDrive(store.session(), unhex(key)),
  async closeDrive ({ key }) {
    const drive = driveOf(key)
    drives.delete(key)
    const cores = [drive.core.core, drive.blobs?.core.core]
    await drive.close()
    // Its channels stay open while the remote is interested in them. The end of its cores closes them.
    for (const core of cores) await core?.close()
  },
  peers: ({ key }) => ({ publicKeys: driveOf(key).core.peers.map(peer => hex(peer.remotePublicKey)) }),
  setActive ({ drive, active }) { driveOf(drive).setActive(active) },
  contentKey: ({ key }) => ({ key: hex(driveOf(key).contentKey) }),
  isDownloading: ({ drive }) => ({ downloading: driveOf(drive).core.core.replicator.isDownloading() }),

  writeFile: ({ key, path, content }) => timed(() => driveOf(key).put(path, Buffer.from(content))),
  readFile: ({ key, path }) => timed(async () => {
    const content = await driveOf(key).get(path)
    return content ? { content: content.toString() } : { missing: true }
  }),
  readdir: ({ key, path }) => timed(async () => {
    const entries = []
    for await (const name of driveOf(key).readdir(path)) entries.push(name)
    return { entries }
  }),
  update: ({ key }) => timed(async () => ({ updated: await driveOf(key).core.update({ wait: true }) })),

  joinTopic ({ drive: key, topic, quiet }) {
    const handle = topics.length
    const drive = driveOf(key)
    const received = new Tally()
    const extension = drive.core.registerExtension(`peersockets/v0/${topic}`, {
      encoding: 'binary',
      onmessage (message, peer) {
        message ??= Buffer.alloc(0) // hypercore 10 passes null for an empty message
        received.add(message)
        if (quiet) return
        emit('message', { handle, topic, publicKey: hex(peer.remotePublicKey), message: base64(message) })
      }
    })
    topics.push({ drive, extension, received })
    return { handle }
  },
  closeTopic ({ handle }) { topics[handle].extension.destroy() },
  received: ({ handle }) => topics[handle].received,
  send ({ handle, publicKey, message }) {
    const { drive, extension } = topics[handle]
    extension.send(unbase64(message), peerOf(drive, publicKey))
  },
  // Numbers the messages from `first`.
  async sendMany ({ handle, publicKey, count, size, cork, first = 0 }) {
    const { drive, extension } = topics[handle]
    const peer = peerOf(drive, publicKey)
    const mux = Protomux.from(peer.stream)
    const sent = new Tally()
    for (let i = first; i < first + count;) {
      if (cork) mux.cork()
      for (const end = Math.min(first + count, i + SENDS_PER_TURN); i < end; i++) {
        const message = Buffer.alloc(size, uint32(i))
        extension.send(message, peer)
        sent.add(message)
      }
      if (cork) mux.uncork()
      await nextTurn() // extensions have no back pressure, so let the sockets drain at intervals
    }
    return sent
  },

  // Makes a bare mux on an existing connection, on a new one to `port`, or on the first one to the returned port.
  async rawMux ({ publicKey, port }) {
    if (publicKey) {
      const stream = [...streams].find(stream => stream.remotePublicKey?.equals(unhex(publicKey)))
      return { mux: muxes.push(Protomux.from(stream)) - 1 }
    }
    if (port) return { mux: await bareConnect(port) }
    const bare = bareSwarm()
    return { mux: bare.mux, port: await bare.swarm.listen() }
  },
  rawChannel: ({ mux, ...options }) => bareChannel(muxes[mux], options),
  // Answers channels that the remote opens. Without `handshake`, reports and refuses them.
  rawPair ({ mux, protocol, handshake }) {
    muxes[mux].pair({ protocol }, id => {
      const channelId = id && hex(id)
      const refused = handshake === undefined || muxes[mux].opened({ protocol, id })
      const opened = refused ? {} : bareChannel(muxes[mux], { protocol, channelId, handshake })
      emit('channel-wanted', { mux, protocol, channelId, ...opened })
    })
  },
  rawSend ({ channel, type, message }) { channels[channel].messages[type].send(unbase64(message)) },
  rawCork ({ mux }) { muxes[mux].cork() },
  rawUncork ({ mux }) { muxes[mux].uncork() },
  rawClose ({ channel }) { channels[channel].close() },
  rawEnd ({ mux }) { muxes[mux].destroy() },
  async rawOpen ({ mux, port, discoveryKey, capability }) {
    const number = mux ?? await bareConnect(port)
    await muxes[number].stream.opened
    const handshake = base64(Buffer.concat([Buffer.alloc(1), unhex(capability)])) // no flags
    return { mux: number, ...bareChannel(muxes[number], { protocol: 'hypercore/alpha', channelId: discoveryKey, handshake }) }
  },

  // Releases everything. The process continues.
  async stop () {
    for (const stream of streams) stream.destroy()
    await stopSwarm()
    for (const mux of muxes) mux?.stream.destroy()
    for (const each of swarms) each.close()
    await udxSocket?.close()
    await store?.close()
  }
})
