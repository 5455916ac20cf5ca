'use strict'

// A complete peer of the second generation: hyperdrive 13. A wrapper around its protomux records the peer's own
// actions, since a hyperdrive opens and closes cores when it likes.

const fs = require('fs')
const os = require('os')
const path = require('path')

const { caps, locked, PROTOCOL } = require('./mux_peer')
const SecretStream = locked('@hyperswarm/secret-stream')
const Corestore = locked('corestore')
const crypto = locked('hypercore-crypto')
const Hyperdrive = locked('hyperdrive')
const Protomux = locked('protomux')

const hex = buffer => buffer.toString('hex')

// hypercore proves that it knows a key just before it opens a channel, so the key can be seen there.
const keys = new Map() // by discovery key
const { replicate } = caps
caps.replicate = (isInitiator, key, handshakeHash) => {
  keys.set(hex(crypto.discoveryKey(key)), key)
  return replicate(isInitiator, key, handshakeHash)
}

class Hyperdrive13Peer {
  static packages = ['hyperdrive', 'corestore', 'hypercore', 'protomux', '@hyperswarm/secret-stream']

  constructor (session, side) {
    this.session = session
    this.side = side
    this.topics = new Map() // by name
    this.open = new Set() // discovery keys of the cores that our implementation would have open
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'trace-'))
  }

  async start () {
    this.store = new Corestore(this.folder, { primaryKey: this.session.key(`${this.side} store`), unsafe: true })
    await this.store.ready()
  }

  connect () {
    this.session.connecting()
    const keyPair = SecretStream.keyPair(this.session.secrets[this.side].seed)
    this.stream = new SecretStream(this.side === 'initiator', this.session.ends[this.side], { keyPair })
    this.mux = Protomux.from(this.stream)
    this._watch()
    this.store.replicate(this.stream)
  }

  // Uses a session of its own, because a hyperdrive closes the corestore that it gets.
  async drive (key = null) {
    const drive = new Hyperdrive(key ? this.store.session() : this.store.namespace('drive'), key)
    await drive.ready()
    return drive
  }

  join (drive, topic) {
    const name = `peersockets/v0/${topic}`
    const { discoveryKey } = drive
    this._command('register', { name })
    this.topics.set(`${hex(discoveryKey)} ${topic}`, drive.core.registerExtension(name, {
      encoding: 'binary',
      onmessage: payload => this._event('message', { discoveryKey, name, payload: Buffer.from(payload) })
    }))
  }

  leave (drive, topic) {
    this._command('unregister', { name: `peersockets/v0/${topic}` })
    this.topics.get(`${hex(drive.discoveryKey)} ${topic}`).destroy()
  }

  send (drive, topic, payload) {
    this._command('send', { discoveryKey: drive.discoveryKey, name: `peersockets/v0/${topic}`, payload })
    const [peer] = drive.core.peers
    this.topics.get(`${hex(drive.discoveryKey)} ${topic}`).send(payload, peer)
  }

  // hypercore does the same for its own messages.
  cork (act) {
    this.mux.cork()
    act()
    this.mux.uncork()
  }

  end () {
    this._command('end', {})
    this.stream.end()
  }

  kill () {
    this._command('kill', {})
    this.session.ends[this.side].destroy()
  }

  async stop () {
    await this.store.close()
    fs.rmSync(this.folder, { recursive: true })
  }

  _command (command, fields) {
    this.session.note(this.side, { command, ...fields })
  }

  _event (event, fields) {
    this.session.note(this.side, { event, ...fields })
  }

  _watch () {
    const { stream, mux } = this
    let failure = null
    stream.on('connect', () => {
      const { remotePublicKey, handshakeHash } = stream
      this._event('handshake', { remotePublicKey, handshakeHash })
    })
    stream.on('error', error => { failure = error })
    stream.on('close', () => this._event('closed', { fault: failure !== null }))
    const createChannel = mux.createChannel
    mux.createChannel = options => {
      if (options.protocol !== PROTOCOL) return createChannel.call(mux, options)
      return this._watchChannel(options, createChannel.bind(mux))
    }
  }

  _watchChannel (options, createChannel) {
    const { id: discoveryKey, onopen, onclose } = options
    let opened = false
    const channel = createChannel({
      ...options,
      onopen: (...given) => {
        opened = true
        this._event('open', { discoveryKey })
        return onopen(...given)
      },
      onclose: (isRemote, ...given) => {
        if (opened && isRemote && !this.stream.destroying) this._event('close', { discoveryKey })
        return onclose(isRemote, ...given)
      }
    })
    if (channel === null) return null
    const { open, close } = channel
    channel.open = handshake => {
      if (!this.open.has(hex(discoveryKey))) this._command('open', { key: keys.get(hex(discoveryKey)) })
      this.open.add(hex(discoveryKey))
      return open.call(channel, handshake)
    }
    channel.close = () => {
      if (!channel.closed && this.open.delete(hex(discoveryKey))) this._command('close', { discoveryKey })
      return close.call(channel)
    }
    return channel
  }
}

module.exports = { Hyperdrive13Peer }
