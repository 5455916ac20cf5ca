'use strict'

// The worked examples of hypercore11, made by secret-stream, protomux and hypercore themselves: a handshake with fixed
// seeds and ephemeral seeds, and a drive for a handshake hash of 64 bytes 0x11. Prints their bytes in hex.
// Usage: node reference.js KEY DISCOVERY_KEY

const { EventEmitter } = require('events')
const { createRequire } = require('module')
const { join } = require('path')

const load = createRequire(join(__dirname, '..', 'interop', 'hypercore11', 'package.json'))
const curve = load('noise-curve-ed')
const Handshake = load('@hyperswarm/secret-stream/lib/handshake')
const Protomux = load('protomux')
const caps = load('hypercore/lib/caps')
const { wire } = load('hypercore/lib/messages')

const [key, id] = process.argv.slice(2).map(text => Buffer.from(text, 'hex'))
const capability = isInitiator => caps.replicate(isInitiator, key, Buffer.alloc(64, 0x11))
const types = [
  wire.sync, wire.request, wire.cancel, wire.data, wire.noData, wire.want, wire.unwant, wire.bitfield, wire.range,
  wire.extension
]

class Side {
  constructor (isInitiator) {
    this.written = []
    const stream = new EventEmitter()
    this.stream = Object.assign(stream, { userData: null, write: data => this.written.push(data) })
    this.mux = new Protomux(stream)
    this.channel = this.mux.createChannel({
      protocol: 'hypercore/alpha', id, handshake: wire.handshake, messages: types.map(encoding => ({ encoding }))
    })
    this.batch(() => this.channel.open({ seeks: false, capability: capability(isInitiator) }))
  }

  batch (write) {
    this.mux.cork()
    write()
    this.mux.uncork()
  }
}

const ours = new Side(true)
ours.stream.emit('data', new Side(false).written[0])
const [sync] = ours.channel.messages
const extension = ours.channel.messages[9]
ours.batch(() => sync.send({ uploading: true, downloading: true, fork: 0, length: 0, remoteLength: 0 }))
ours.batch(() => {
  extension.send({ name: 'peersockets/v0/chat', message: Buffer.from('hello') })
  extension.send({ name: '', message: Buffer.from('again') })
})

const pairOf = byte => curve.generateKeyPair(Buffer.alloc(32, byte))

function handshake (initiator, byte) {
  const handshake = new Handshake(initiator, pairOf(byte), null, 'XX')
  handshake.noise.e = pairOf(byte + 1)
  return handshake
}

const a = handshake(true, 0xa0)
const b = handshake(false, 0xb0)
const copy = ({ data }) => Buffer.from(data.subarray(3)) // the reader wipes the bytes that it has read
const first = a.send()
const second = b.recv(copy(first))
const third = a.recv(copy(second))

const hex = data => Buffer.from(data).toString('hex')
const hexed = named => Object.fromEntries(Object.entries(named).map(([name, data]) => [name, hex(data)]))
console.log(JSON.stringify({
  'hypercore11 handshake': hexed({
    'DH of the ephemeral keys': curve.dh(pairOf(0xb1).publicKey, pairOf(0xa1)),
    'A, first frame': first.data,
    'B, second frame': second.data,
    'A, third frame': third.data,
    'handshake hash': third.hash,
    'A sends with key': third.tx.subarray(0, 32),
    'B sends with key': third.rx.subarray(0, 32)
  }),
  'hypercore11 drive': hexed({
    'capability, initiator': capability(true),
    'capability, responder': capability(false),
    'Open, in a batch': ours.written[0],
    'Sync, in a batch': ours.written[1],
    '"hello" and "again"': ours.written[2]
  })
}))
