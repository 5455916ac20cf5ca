'use strict'

// A complete peer of the first generation: hyperdrive 10, @corestore/networker and npm peersockets. A wrapper around
// hypercore-protocol records the peer's own actions, since a hyperdrive opens and closes cores when it likes.

const { EventEmitter } = require('events')

const { locked } = require('./stream_peer')
const Networker = locked('@corestore/networker')
const Corestore = locked('corestore')
const crypto = locked('hypercore-crypto')
const HypercoreProtocol = locked('hypercore-protocol')
const hyperdrive = locked('hyperdrive')
const Peersockets = locked('peersockets')
const ram = locked('random-access-memory')

const hex = buffer => buffer.toString('hex')

// The part of hyperswarm 2 that the networker needs.
class Line extends EventEmitter {
  join () {}
  leave (discoveryKey, done) { done(null) }
  flush (done) { done(null) }
  destroy (done) { done(null) }
}

class Hyperdrive10Peer {
  static packages = ['peersockets', 'hyperdrive', '@corestore/networker', 'corestore', 'hypercore', 'hypercore-protocol']

  constructor (session, side) {
    this.session = session
    this.side = side
    this.killed = false
    this.topics = new Map() // by name
    this.open = new Set() // discovery keys of the cores that our implementation would have open
  }

  async start () {
    const keyPair = HypercoreProtocol.keyPair(this.session.secrets[this.side].seed)
    this.line = new Line()
    this.store = new Corestore(() => ram(), { masterKey: this.session.key(`${this.side} store`) })
    await this.store.ready()
    this.networker = new Networker(this.store, { swarm: this.line, keyPair })
    this.networker.on('error', () => {})
    this.networker.on('stream-opened', stream => this._watch(stream))
    await this.networker.listen()
    this.peersockets = new Peersockets(this.networker)
  }

  connect () {
    this.session.connecting()
    const end = this.session.ends[this.side]
    this.line.emit('connection', end, { client: this.side === 'initiator', deduplicate: () => false })
  }

  async drive (key = null) {
    const drive = hyperdrive(this.store.namespace(), key) // in a namespace, because a hyperdrive closes its corestore
    await drive.promises.ready()
    return drive
  }

  join (topic) {
    const name = Peersockets.EXTENSION_PREFIX + topic
    this._command('register', { name })
    this.topics.set(topic, this.peersockets.join(topic, {
      onmessage: payload => this._event('message', { discoveryKey: null, name, payload: Buffer.from(payload) })
    }))
  }

  leave (topic) {
    this._command('unregister', { name: Peersockets.EXTENSION_PREFIX + topic })
    this.peersockets.leave(topic)
  }

  send (topic, payload) {
    this._command('send', { discoveryKey: null, name: Peersockets.EXTENSION_PREFIX + topic, payload })
    const [peer] = this.networker.peers
    this.topics.get(topic).send(payload, peer)
  }

  end () {
    this._command('end', {})
    this.stream.finalize()
  }

  kill () {
    this._command('kill', {})
    this.killed = true
    this.session.ends[this.side].destroy()
  }

  _command (command, fields) {
    this.session.note(this.side, { command, ...fields })
  }

  _event (event, fields) {
    this.session.note(this.side, { event, ...fields })
  }

  _watch (stream) {
    this.stream = stream
    let failure = null
    stream.on('error', error => { failure = this.killed ? null : error })
    stream.prependListener('handshake', () => {
      const { remotePublicKey, state: { handshakeHash } } = stream
      this._event('handshake', { remotePublicKey, handshakeHash: Buffer.from(handshakeHash) })
    })
    stream.on('duplex-channel', ({ discoveryKey }) => this._event('open', { discoveryKey }))
    stream.on('close', () => this._event('closed', { fault: failure !== null }))

    const open = stream.open
    stream.open = (key, handlers) => {
      if (!stream.opened(key)) this._opens(key)
      return open.call(stream, key, handlers)
    }
    const { channelizer } = stream
    const { onclose } = channelizer
    channelizer.onclose = (number, message) => {
      const channel = channelizer.remote[number]
      const shared = channel?.opened
      onclose.call(channelizer, number, message)
      if (!shared) return // a refusal, which it handles by itself
      this._event('close', { discoveryKey: channel.discoveryKey })
      this._closes(channel.discoveryKey) // its answer, see stream_peer.js
    }
  }

  _opens (key) {
    const discoveryKey = crypto.discoveryKey(key)
    if (this.open.has(hex(discoveryKey))) return // still open, after a refusal
    this.open.add(hex(discoveryKey))
    this._command('open', { key })
  }

  _closes (discoveryKey) {
    if (this.open.delete(hex(discoveryKey))) this._command('close', { discoveryKey })
  }
}

module.exports = { Hyperdrive10Peer }
