'use strict'

// One real hyperdrive 10 peer with npm peersockets, driven over stdin and stdout (see lines.js).
// Keys are in hex, message bytes in base64.

const { createHash } = require('crypto')
const { once } = require('events')
const net = require('net')
const { setImmediate: nextTurn } = require('timers/promises')
const { promisify } = require('util')

const Networker = require('@corestore/networker')
const Corestore = require('corestore')
const HypercoreProtocol = require('hypercore-protocol')
const hyperdrive = require('hyperdrive')
const Peersockets = require('peersockets')
const ram = require('random-access-memory')

const { emit, serve } = require('./lines')
const { HOST, LoopbackSwarm } = require('./loopback')
const requestCommands = require('./requests')

const SENDS_PER_TURN = 1000

const swarm = new LoopbackSwarm()
const drives = new Map() // by key
const topics = [] // by handle
const streams = new Set() // of the networker, including those whose handshake is not finished
const rawStreams = new Set()
let corestore, networker, peersockets // from "start" on

const hex = buffer => buffer.toString('hex')
const unhex = text => Buffer.from(text, 'hex')

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

// Uses a namespace, because a hyperdrive closes the corestore that it gets.
async function openDrive (key) {
  const drive = hyperdrive(corestore.namespace(), key)
  // 'peer-add': we opened the channel. 'peer-open': the remote opened it too, and proved that it knows the key.
  drive.on('peer-open', peer => reportPeer('peer-add', drive, peer))
  drive.on('peer-remove', peer => { if (peer.remoteOpened) reportPeer('peer-remove', drive, peer) })
  await drive.promises.ready()
  drives.set(hex(drive.key), drive)
  return describe(drive)
}

function reportPeer (event, drive, peer) {
  emit(event, { drive: hex(drive.metadata.key), publicKey: hex(peer.remotePublicKey) })
}

const describe = drive => ({ key: hex(drive.key), discoveryKey: hex(drive.discoveryKey) })

function driveOf (key) {
  const drive = drives.get(key)
  if (!drive) throw new Error(`Drive is not open: ${key}`)
  return drive
}

const topicName = ({ topic, webapp }) => webapp ? `webapp/${webapp}/${topic}` : topic

function peerOf (publicKey) {
  const peer = [...networker.peers].find(peer => hex(peer.remotePublicKey) === publicKey)
  if (!peer) throw new Error(`Unknown peer: ${publicKey}`)
  return peer
}

async function timed (operation) {
  const began = performance.now()
  const result = await operation()
  return { ...result, ms: performance.now() - began }
}

// A connection with nothing on it: no drive, no networker.
async function rawConnect (port) {
  const socket = net.connect(port, HOST)
  await once(socket, 'connect')
  const stream = new HypercoreProtocol(true)
  let failure = null
  stream.on('error', error => { failure = error })
  stream.on('close', () => {
    rawStreams.delete(stream)
    emit('raw-closed', { error: failure?.message ?? null })
  })
  stream.pipe(socket).pipe(stream)
  rawStreams.add(stream)
  return stream
}

const { peerLeft, ...requests } = requestCommands(
  (parameters, options) => peersockets.join(topicName(parameters), options),
  (parameters, publicKey) => peerOf(publicKey))

serve({
  ...requests,

  async start ({ seed }) {
    corestore = new Corestore(() => ram())
    await corestore.ready()
    networker = new Networker(corestore, { swarm, keyPair: HypercoreProtocol.keyPair(seed && unhex(seed)) })
    networker.on('peer-add', peer => emit('connection', { publicKey: hex(peer.remotePublicKey) }))
    networker.on('peer-remove', peerLeft)
    networker.on('stream-opened', (stream, connection) => {
      streams.add(stream)
      // The networker's own 'replication-error' does not name the connection.
      stream.on('error', error => { connection.failure = error })
    })
    networker.on('stream-closed', (stream, { failure, wire }, joined) => {
      streams.delete(stream)
      emit('connection-closed', {
        publicKey: joined ? hex(stream.remotePublicKey) : null, // null if no "connection" event named it
        error: (failure ?? wire.errored)?.message ?? null
      })
    })
    await networker.listen()
    peersockets = new Peersockets(networker)
    return { publicKey: hex(networker.keyPair.publicKey) }
  },

  listen: async ({ port }) => ({ port: await swarm.listen(port) }),
  connect: ({ port, host }) => swarm.connect(port, host),
  disconnect ({ publicKey }) {
    const doomed = [...streams].filter(({ remotePublicKey }) => !publicKey || remotePublicKey?.equals(unhex(publicKey)))
    for (const stream of doomed) stream.destroy()
    return { count: doomed.length }
  },
  setDeduplicate ({ on }) { swarm.deduplicating = on },
  pauseSockets: () => swarm.setDeaf(true),
  resumeSockets: () => swarm.setDeaf(false),
  silence: () => swarm.silence(),
  stats: () => ({ rss: process.memoryUsage.rss(), connections: networker.peers.size }),

  createDrive: () => openDrive(null),
  openDrive: ({ key }) => drives.has(key) ? describe(drives.get(key)) : openDrive(unhex(key)),
  async closeDrive ({ key }) {
    const drive = driveOf(key)
    drives.delete(key)
    // Closing a drive leaves its cores open and replicating. Close the cores first, while the drive passes on their
    // events.
    for (const core of drive.corestore.list().values()) await promisify(core.close).call(core)
    await drive.promises.close()
  },
  peers: ({ key }) => ({
    publicKeys: driveOf(key).peers.filter(peer => peer.remoteOpened).map(peer => hex(peer.remotePublicKey))
  }),

  writeFile: ({ key, path, content }) => timed(() => driveOf(key).promises.writeFile(path, content)),
  readFile: ({ key, path }) => timed(async () => {
    try {
      return { content: await driveOf(key).promises.readFile(path, 'utf8') }
    } catch (error) {
      if (error.code === 'ENOENT') return { missing: true }
      throw error
    }
  }),
  readdir: ({ key, path }) => timed(async () => ({ entries: await driveOf(key).promises.readdir(path) })),
  update: ({ key }) => timed(async () => {
    const { metadata } = driveOf(key)
    try {
      await promisify(metadata.update).call(metadata, { ifAvailable: true })
      return { updated: true }
    } catch (error) {
      if (error.message === 'No update available from peers') return { updated: false }
      throw error
    }
  }),

  joinTopic ({ topic, webapp, quiet }) {
    const handle = topics.length
    const received = new Tally()
    const joined = peersockets.join(topicName({ topic, webapp }), {
      onmessage (message, peer) {
        received.add(message)
        if (quiet) return
        const publicKey = hex(peer.remotePublicKey)
        emit('message', { handle, topic, publicKey, message: message.toString('base64') })
      }
    })
    topics.push({ joined, received })
    return { handle }
  },
  closeTopic ({ handle }) { topics[handle].joined.close() },
  leaveTopic: ({ topic, webapp }) => peersockets.leave(topicName({ topic, webapp })),
  received: ({ handle }) => topics[handle].received,
  send ({ handle, publicKey, message }) {
    topics[handle].joined.send(Buffer.from(message, 'base64'), peerOf(publicKey))
  },
  async sendMany ({ handle, publicKey, count, size }) {
    const peer = peerOf(publicKey)
    const sent = new Tally()
    for (let i = 0; i < count; i++) {
      const message = Buffer.alloc(size, uint32(i))
      topics[handle].joined.send(message, peer)
      sent.add(message)
      // peersockets has no back pressure, so let the sockets drain at intervals.
      if (i % SENDS_PER_TURN === SENDS_PER_TURN - 1) await nextTurn()
    }
    return sent
  },

  async rawOpen ({ port, discoveryKey, capability }) {
    const stream = await rawConnect(port)
    stream.state.open(1, { discoveryKey: unhex(discoveryKey), capability: unhex(capability) })
    return { publicKey: hex(stream.publicKey) }
  },
  async rawExtension ({ port, name, message }) {
    const stream = await rawConnect(port)
    const extension = stream.registerExtension(name, {
      onmessage: received => emit('raw-message', { name, message: received.toString('base64') })
    })
    extension.send(Buffer.from(message, 'base64')) // queued until the handshake is over
    return { publicKey: hex(stream.publicKey) }
  },
  rawClose () {
    for (const stream of rawStreams) stream.destroy()
  },

  // Releases everything. The process continues.
  async stop () {
    for (const stream of [...streams, ...rawStreams]) stream.destroy()
    swarm.close()
    await networker?.close()
    await corestore?.close()
  }
})
