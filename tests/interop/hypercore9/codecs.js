'use strict'

// The codecs of the hypercore9 wire that real peers use, for whole batches of values (see ./lines.js).
// run: {calls: [[codec, operation, ...arguments], ...]} -> {results: [{value} or {error}, ...]}
// Bytes are written as {hex}, and a missing value as null.

const { capability, discoveryKey, keyPair } = require('hypercore-crypto')
const { generateSeedKeypair } = require('noise-protocol/dh')
const messages = require('simple-hypercore-protocol/messages')
const SimpleMessageChannels = require('simple-message-channels')
const varint = require('varint')

const { serve } = require('./lines')

const bytes = ({ hex }) => Buffer.from(hex, 'hex')

function read (value) {
  if (Array.isArray(value)) return value.map(read)
  if (value === null || typeof value !== 'object') return value
  if ('hex' in value) return bytes(value)
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, read(field)]))
}

function write (value) {
  if (Buffer.isBuffer(value)) return { hex: value.toString('hex') }
  if (Array.isArray(value)) return value.map(write)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, write(field)]))
}

// The body may be cut anywhere. The result lists its frames in order, and whether it was refused at the end.
function frames (cuts) {
  const heard = []
  const channels = new SimpleMessageChannels({
    onmessage: (channel, type, message) => heard.push([channel, type, write(Buffer.from(message))])
  })
  const taken = cuts.every(cut => channels.recv(bytes(cut)))
  return { heard, taken }
}

const codecs = {
  varint: {
    encode: number => write(Buffer.from(varint.encode(number))),
    decode: data => [varint.decode(bytes(data)), varint.decode.bytes]
  },
  message: {
    encode: (name, fields) => write(messages[name].encode(read(fields))),
    decode: (name, data) => write(messages[name].decode(bytes(data)))
  },
  frames: {
    encode: (channel, type, body) => write(new SimpleMessageChannels().send(channel, type, bytes(body))),
    decode: frames
  },
  keys: {
    discovery: key => write(discoveryKey(bytes(key))),
    ed25519: seed => write(keyPair(bytes(seed)).publicKey),
    x25519: seed => {
      const publicKey = Buffer.alloc(32)
      generateSeedKeypair(publicKey, Buffer.alloc(32), bytes(seed))
      return write(publicKey)
    },
    capability: (key, rx, tx) => write(capability(bytes(key), { rx: bytes(rx), tx: bytes(tx) }))
  }
}

serve({
  run: ({ calls }) => ({
    results: calls.map(([codec, operation, ...values]) => {
      try {
        return { value: codecs[codec][operation](...values) }
      } catch (error) {
        return { error: error.message }
      }
    })
  })
})
