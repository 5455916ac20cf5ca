'use strict'

// A peer of hypercore-protocol without data: the reference's own stream, and the duties of such a peer
// (docs/protocol.md): it refuses the drives that it does not have, and reports that it has no data.

const { createRequire } = require('module')
const path = require('path')

const LOCKED = path.join(__dirname, '../../interop/hypercore9')
const locked = createRequire(path.join(LOCKED, 'package.json'))
const crypto = locked('hypercore-crypto')
const HypercoreProtocol = locked('hypercore-protocol')

const hex = buffer => buffer.toString('hex')

class StreamPeer {
  static packages = ['hypercore-protocol', 'simple-hypercore-protocol', 'simple-message-channels', 'noise-protocol', 'abstract-extension']

  constructor (session, side) {
    this.session = session
    this.side = side
    session.connecting()
    this.end9 = session.ends[side]
    this.drives = new Map() // by discovery key: { key, channel, opened }
    this.extensions = new Map() // by name
    this.failure = null
    this.stream = new HypercoreProtocol(side === 'initiator', {
      keyPair: HypercoreProtocol.keyPair(session.secrets[side].seed),
      live: true,
      timeout: 0 // no timers: a scenario decides when keepalives are sent
    })
    this.stream.on('handshake', () => this._handshake())
    this.stream.on('discovery-key', discoveryKey => this._wanted(discoveryKey))
    this.stream.on('duplex-channel', channel => this._opened(channel))
    this.stream.on('error', error => { this.failure = error })
    this.stream.on('close', () => {
      this._event('closed', { fault: this.failure !== null })
      this.end9.destroy()
    })
    this.end9.on('close', () => this.stream.destroy())
    this.end9.pipe(this.stream).pipe(this.end9)
  }

  open (key) {
    this._command('open', { key })
    const discoveryKey = crypto.discoveryKey(key)
    this.drives.set(hex(discoveryKey), { key, discoveryKey, channel: null, opened: false })
    this._offer(discoveryKey)
  }

  close (key) {
    const discoveryKey = crypto.discoveryKey(key)
    this._command('close', { discoveryKey })
    const drive = this.drives.get(hex(discoveryKey))
    this.drives.delete(hex(discoveryKey))
    drive.channel.close()
  }

  register (name) {
    this._command('register', { name })
    this.extensions.set(name, this.stream.registerExtension(name, {
      onmessage: payload => this._event('message', { discoveryKey: null, name, payload: Buffer.from(payload) })
    }))
  }

  unregister (name) {
    this._command('unregister', { name })
    this.extensions.get(name).destroy()
    this.extensions.delete(name)
  }

  send (key, name, payload) { // extensions belong to no drive on this wire
    this._command('send', { discoveryKey: null, name, payload })
    this.extensions.get(name).send(payload)
  }

  discoveryKey (key) {
    return crypto.discoveryKey(key)
  }

  // Open a drive with a capability that proves nothing.
  lie (key) {
    this.session.forget(this.side)
    this.stream.state.open(1, { discoveryKey: crypto.discoveryKey(key), capability: Buffer.alloc(32, 'no') })
  }

  keepalive () {
    this._command('keepalive', {})
    this.stream.ping()
  }

  end () {
    this._command('end', {})
    this.stream.finalize()
  }

  kill () {
    this._command('kill', {})
    this.end9.destroy()
  }

  _command (command, fields) {
    this.session.note(this.side, { command, ...fields })
  }

  _event (event, fields) {
    this.session.note(this.side, { event, ...fields })
  }

  _handshake () {
    const { remotePublicKey, state } = this.stream
    this._event('handshake', { remotePublicKey, handshakeHash: Buffer.from(state.handshakeHash) })
  }

  _offer (discoveryKey) {
    const drive = this.drives.get(hex(discoveryKey))
    drive.opened = false
    drive.channel = this.stream.open(drive.key, { onclose: () => this._closed(drive) })
  }

  _wanted (discoveryKey) {
    if (this.drives.has(hex(discoveryKey))) this._offer(discoveryKey)
    else this.stream.close(discoveryKey)
  }

  _opened (channel) {
    const drive = this.drives.get(hex(channel.discoveryKey))
    if (!channel.remoteVerified) { // hypercore 9.12 does this if the remote was first
      this.stream.destroy(new Error('Invalid remote channel capability'))
      return
    }
    drive.opened = true
    channel.status({ uploading: false, downloading: true })
    this._event('open', { discoveryKey: channel.discoveryKey })
  }

  // The stream has answered the remote's Close with our own. The application decides that, if it has the drive open:
  // here, it then closes the drive.
  _closed (drive) {
    if (!drive.opened || this.stream.destroyed || this.stream.destroying || !this.drives.delete(hex(drive.discoveryKey))) return
    this._event('close', { discoveryKey: drive.discoveryKey })
    this._command('close', { discoveryKey: drive.discoveryKey })
  }
}

module.exports = { locked, StreamPeer }
