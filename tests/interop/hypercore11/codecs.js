'use strict'

// The codecs of the hypercore11 wire that real peers use (see ../hypercore9/codecs.js).

const { EventEmitter } = require('events')

const b4a = require('b4a')
const c = require('compact-encoding')
const ids = require('hypercore-id-encoding')
const { discoveryKey, keyPair } = require('hypercore-crypto')
const { wire } = require('hypercore/lib/messages')
const Protomux = require('protomux')

const { serve } = require('../hypercore9/lines')

const bytes = ({ hex }) => Buffer.from(hex, 'hex')
const read = value => value !== null && typeof value === 'object' ? bytes(value) : value

function write (value) {
  if (b4a.isBuffer(value)) return { hex: b4a.toString(value, 'hex') }
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, write(field)]))
}

class Stream extends EventEmitter {
  constructor () {
    super()
    this.userData = null
    this.destroyed = false
    this.error = null
    this.written = []
  }

  write (data) {
    this.written.push(write(Buffer.from(data)))
    return true
  }

  pause () {}
  resume () {}
  end () {}
  destroy (error) {
    this.destroyed = true
    this.error ??= error
  }
}

// A mux whose channel 1, with protocol "p" and id "id", is open on both sides.
function openMux (heard, types) {
  const stream = new Stream()
  const mux = new Protomux(stream)
  const channel = mux.createChannel({
    protocol: 'p',
    id: Buffer.from('id'),
    onclose: () => heard.push('closed'),
    messages: Array.from({ length: types }, (_, type) => ({
      encoding: c.raw,
      onmessage: body => { heard.push([type, write(Buffer.from(body))]) }
    }))
  })
  channel.open()
  stream.emit('data', Buffer.from('000101017002' + '6964', 'hex'))
  stream.written.length = 0
  return { channel, mux, stream }
}

const codecs = {
  compact: {
    encode: (encoding, value) => write(c.encode(c[encoding], read(value))),
    decode: (encoding, data) => {
      const state = c.state(0, bytes(data).length, bytes(data))
      return [write(c[encoding].decode(state)), state.start]
    }
  },
  alpha: {
    encode: (name, fields) => write(c.encode(
      wire[name], Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, read(field)]))
    )),
    decode: (name, data) => write(c.decode(wire[name], bytes(data)))
  },
  mux: {
    // Returns the messages that a stream reports, and whether it was destroyed because of them.
    decode: (types, data) => {
      const heard = []
      const { stream } = openMux(heard, types)
      for (const message of data) {
        if (!stream.destroyed) stream.emit('data', bytes(message))
      }
      return { heard, taken: !stream.destroyed }
    },
    // Returns the bytes of messages sent in one batch.
    encode: (types, sent) => {
      const { channel, mux, stream } = openMux([], types)
      mux.cork()
      for (const [type, body] of sent) channel.messages[type].send(bytes(body))
      mux.uncork()
      return stream.written
    }
  },
  keys: {
    parse: id => write(ids.decode(id)),
    z32: key => ids.encode(bytes(key)),
    discovery: key => write(discoveryKey(bytes(key))),
    ed25519: seed => write(keyPair(bytes(seed)).publicKey)
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
