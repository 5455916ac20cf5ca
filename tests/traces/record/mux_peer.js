'use strict'

// A peer of hypercore/alpha without data, made of the reference's own parts: @hyperswarm/secret-stream, protomux, and
// hypercore's codec and capability. It does what a peer without data must do (docs/protocol.md). All its messages in
// one turn of the event loop form one batch, so its frames can be compared byte by byte.

const { createRequire } = require('module')
const path = require('path')

const LOCKED = path.join(__dirname, '../../interop/hypercore11')
const locked = createRequire(path.join(LOCKED, 'package.json'))
const SecretStream = locked('@hyperswarm/secret-stream')
const crypto = locked('hypercore-crypto')
const Protomux = locked('protomux')
const caps = require(path.join(LOCKED, 'node_modules/hypercore/lib/caps'))
const { wire } = require(path.join(LOCKED, 'node_modules/hypercore/lib/messages'))

const PROTOCOL = 'hypercore/alpha'
const SYNC = 0
const EXTENSION = 9
const LARGEST_IN_BATCH = 65_000 // larger messages are sent alone
const POLITE_SYNC = {
  fork: 0, canUpgrade: false, uploading: true, downloading: true, hasManifest: false, allowPush: false, length: 0, remoteLength: 0
}

const hex = buffer => buffer.toString('hex')

class MuxPeer {
  static packages = ['@hyperswarm/secret-stream', 'protomux', 'hypercore']

  constructor (session, side) {
    this.session = session
    this.side = side
    session.connecting()
    this.drives = new Map() // by discovery key: { key, channel, lastSent, lastReceived }
    this.names = new Set()
    const keyPair = SecretStream.keyPair(session.secrets[side].seed)
    this.stream = new SecretStream(side === 'initiator', session.ends[side], { keyPair })
    this.stream.on('data', () => this._corkThisTurn()) // before the mux sees it
    this.mux = new Protomux(this.stream)
    this.stream.on('connect', () => this._connected())
    this.failure = null
    this.stream.on('error', error => { this.failure = error })
    this.stream.on('close', () => this._event('closed', { fault: this.failure !== null }))
  }

  open (key) {
    this._command('open', { key })
    this.drives.set(hex(crypto.discoveryKey(key)), { key, channel: null })
    if (this.stream.connected) {
      this._corkThisTurn()
      this._offer(key)
    }
  }

  close (key) {
    const discoveryKey = crypto.discoveryKey(key)
    this._command('close', { discoveryKey })
    const { channel } = this.drives.get(hex(discoveryKey))
    this.drives.delete(hex(discoveryKey))
    this._corkThisTurn()
    channel.close()
  }

  register (name) {
    this._command('register', { name })
    this.names.add(name)
  }

  unregister (name) {
    this._command('unregister', { name })
    this.names.delete(name)
  }

  send (key, name, payload) {
    const discoveryKey = crypto.discoveryKey(key)
    this._command('send', { discoveryKey, name, payload })
    const drive = this.drives.get(hex(discoveryKey))
    const compressed = drive.lastSent === name ? '' : name
    drive.lastSent = name
    if (payload.length < LARGEST_IN_BATCH) this._corkThisTurn()
    drive.channel.messages[EXTENSION].send({ name: compressed, message: payload })
  }

  // Open a drive with a capability that proves nothing.
  lie (key) {
    this.session.forget(this.side)
    const channel = this.mux.createChannel({ protocol: PROTOCOL, id: crypto.discoveryKey(key), handshake: wire.handshake })
    channel.open({ seeks: false, capability: Buffer.alloc(32, 'no') })
  }

  // Open a channel of another protocol, and send a message on it before the answer.
  stray (protocol) {
    this.session.forget(this.side)
    const channel = this.mux.createChannel({ protocol, messages: [{}] })
    channel.open()
    channel.messages[0].send(Buffer.from('early'))
  }

  keepalive () {
    this._command('keepalive', {})
    this.stream.sendKeepAlive()
  }

  end () {
    this._command('end', {})
    this.stream.end()
  }

  kill () {
    this._command('kill', {})
    this.session.ends[this.side].destroy()
  }

  _command (command, fields) {
    this.session.note(this.side, { command, ...fields })
  }

  _event (event, fields) {
    this.session.note(this.side, { event, ...fields })
  }

  // The messages of one turn of the event loop form one batch.
  _corkThisTurn () {
    this.mux.cork()
    setImmediate(() => this.mux.uncork())
  }

  _connected () {
    const { remotePublicKey, handshakeHash } = this.stream
    this._event('handshake', { remotePublicKey, handshakeHash })
    this.mux.pair({ protocol: PROTOCOL }, discoveryKey => {
      const drive = this.drives.get(hex(discoveryKey))
      if (drive && !drive.channel) this._offer(drive.key)
    })
    this._corkThisTurn()
    for (const { key } of this.drives.values()) this._offer(key)
  }

  _offer (key) {
    const discoveryKey = crypto.discoveryKey(key)
    const drive = this.drives.get(hex(discoveryKey))
    const messages = Array.from({ length: EXTENSION + 1 }, () => ({}))
    messages[SYNC] = { encoding: wire.sync }
    messages[EXTENSION] = { encoding: wire.extension, onmessage: message => this._onextension(drive, discoveryKey, message) }
    Object.assign(drive, { lastSent: '', lastReceived: '', opened: false })
    drive.channel = this.mux.createChannel({
      protocol: PROTOCOL,
      id: discoveryKey,
      handshake: wire.handshake,
      messages,
      onopen: ({ capability }) => this._onopen(drive, discoveryKey, capability),
      onclose: isRemote => {
        if (drive.opened && isRemote && !this.stream.destroying) this._event('close', { discoveryKey })
        drive.channel = null
      }
    })
    const { isInitiator, handshakeHash } = this.stream
    drive.channel.open({ seeks: false, capability: caps.replicate(isInitiator, key, handshakeHash) })
  }

  _onopen (drive, discoveryKey, capability) {
    const { isInitiator, handshakeHash } = this.stream
    if (!capability.equals(caps.replicate(!isInitiator, drive.key, handshakeHash))) {
      this.stream.destroy(new Error('Invalid remote capability'))
      return
    }
    drive.opened = true
    drive.channel.messages[SYNC].send(POLITE_SYNC)
    this._event('open', { discoveryKey })
  }

  _onextension (drive, discoveryKey, { name, message }) {
    drive.lastReceived = name || drive.lastReceived
    if (!this.names.has(drive.lastReceived)) return
    this._event('message', { discoveryKey, name: drive.lastReceived, payload: Buffer.from(message) })
  }
}

module.exports = { caps, locked, MuxPeer, PROTOCOL }
