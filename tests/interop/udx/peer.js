'use strict'

// One real udx-native socket, driven over stdin and stdout (see ../hypercore9/lines.js).
// Usage: node peer.js [PACKAGE], the udx-native to use. Bytes are in base64. Long ones come from `pseudorandom`.

const { createHash } = require('crypto')
const { setTimeout: sleep } = require('timers/promises')

const UDX = require(process.argv[2] ?? 'udx-native')

const { emit, serve } = require('../hypercore9/lines')

const HOST = '127.0.0.1'

const udx = new UDX()
const streams = new Map() // by the ids that we chose
let socket // from "bind" on

const base64 = buffer => Buffer.from(buffer).toString('base64')
const unbase64 = text => Buffer.from(text, 'base64')

// Returns the same bytes as Python's hashlib.shake_128(seed).digest(size).
function pseudorandom (seed, size) {
  return size === 0 ? Buffer.alloc(0) : createHash('shake128', { outputLength: size }).update(seed).digest()
}

// Counts the data that a stream has received, and digests it.
class Tally {
  constructor () {
    this.bytes = 0
    this._hash = createHash('sha256')
  }

  add (data) {
    this.bytes += data.length
    this._hash.update(data)
  }

  toJSON () {
    return { bytes: this.bytes, sha256: this._hash.copy().digest('hex') }
  }
}

// Handle incoming data. In each role, the data is tallied, and its end is reported.
const roles = {
  // Sends everything back, with back pressure, and ends after the other side.
  echo (stream) {
    stream.on('data', data => {
      if (!stream.write(data)) {
        stream.pause()
        stream.once('drain', () => stream.resume())
      }
    })
    stream.on('end', () => stream.end())
  },
  // Reads everything, and ends after the other side, as protomux does.
  sink (stream) {
    stream.on('end', () => stream.end())
  },
  // Reads everything, and keeps its own half open.
  half () {}
}

function open ({ local, remote, port, role = 'sink', keepalive = 0, events = false }) {
  const stream = udx.createStream(local)
  streams.set(local, { stream, tally: new Tally() })
  const { tally } = streams.get(local)
  let failure = null
  stream.on('data', data => {
    tally.add(data)
    if (events) emit('data', { local, data: base64(data) })
  })
  stream.on('message', data => emit('message', { local, data: base64(data) }))
  stream.on('end', () => emit('end', { local, ...tally.toJSON() }))
  stream.on('error', error => { failure = error })
  stream.on('close', () => emit('close', { local, error: failure?.message ?? null, ...tally.toJSON() }))
  roles[role](stream)
  stream.connect(socket, remote, port, HOST)
  if (keepalive) stream.setKeepalive(keepalive)
}

function streamOf (local) {
  const found = streams.get(local)
  if (!found) throw new Error(`No stream has the id ${local}`)
  return found
}

async function writeAll (stream, data, size) {
  for (let start = 0; start < data.length; start += size) {
    if (stream.destroying) throw new Error('The stream is gone')
    if (!stream.write(data.subarray(start, start + size))) {
      await new Promise(resolve => stream.once('drain', resolve).once('close', resolve))
    }
  }
}

serve({
  bind () {
    socket = udx.createSocket()
    socket.bind(0, HOST)
    socket.setRecvBufferSize(4 << 20)
    socket.setSendBufferSize(4 << 20)
    return { port: socket.address().port }
  },

  open,

  // Opens streams that differ only in their ids.
  openMany ({ count, local, remote, ...options }) {
    for (let i = 0; i < count; i++) open({ ...options, local: local + i, remote: remote + i })
  },

  write ({ local, data }) {
    streamOf(local).stream.write(unbase64(data))
  },

  // Writes pseudorandom bytes. Returns when all but the last have found room.
  async source ({ local, seed, size, chunk = 65536, end = true }) {
    const { stream } = streamOf(local)
    const data = pseudorandom(seed, size)
    await writeAll(stream, data, chunk)
    if (end) stream.end()
    return { sha256: createHash('sha256').update(data).digest('hex') }
  },

  // Returns when all written bytes have been acknowledged.
  async flush ({ local }) {
    return { flushed: await streamOf(local).stream.flush() }
  },

  end ({ local }) {
    streamOf(local).stream.end()
  },

  destroy ({ local }) {
    streamOf(local).stream.destroy()
  },

  async message ({ local, data }) {
    return { sent: await streamOf(local).stream.send(unbase64(data)) }
  },

  async changeRemote ({ local, remote, port }) {
    await streamOf(local).stream.changeRemote(socket, remote, port, HOST)
  },

  stats ({ local }) {
    const { stream, tally } = streamOf(local)
    return {
      ...tally.toJSON(),
      connected: stream.connected,
      mtu: stream.mtu,
      rtt: stream.rtt,
      inflight: stream.inflight,
      retransmits: stream.retransmits,
      timeouts: stream.rtoCount,
      packetsReceived: stream.packetsReceived,
      packetsSent: stream.packetsTransmitted
    }
  },

  async wait ({ seconds }) {
    await sleep(seconds * 1000)
  },

  async close () {
    await socket.close()
  }
})
