'use strict'

// Topic messages between the peers of a Hyperdrive 13, with the API of beaker.peersockets. A topic is the extension
// `peersockets/v0/TOPIC` of the drive's core, so Python nodes, or applications without this file, can be peers, too.

const { Requests, RequestError } = require('./requests')

const LARGEST_FRAME = 2 ** 24 - 1 // secretstream writes the size of a frame in three bytes
const FRAMING = 64 // more bytes than a frame adds to the topic's name and the message
const IDS_KEPT = 1_000_000 // of peers that are gone: members with ever new keys cannot fill more memory than this

const instances = new WeakMap() // by core, so that a peer has one id however often the drive is wrapped

// The addressed peer is not present, or has left.
class PeerGone extends Error {}

class PeerEvent extends Event {
  constructor (type, peerId, publicKey) {
    super(type)
    this.peerId = peerId
    this.publicKey = publicKey // a Buffer. The peer has proved that it owns this key.
  }
}

class MessageEvent extends PeerEvent {
  constructor (peerId, publicKey, message) {
    super('message', peerId, publicKey)
    this.message = message
  }
}

// The drive's members, by id. A member has an id for its public key, and one or more connections.
class Members {
  constructor () {
    this.lastId = 0
    this.present = new Map() // by id
    this.ids = new Map() // by public key in hex. Among those that are gone, the longest gone is first.
  }

  // Returns the member if it is new.
  add (peer) {
    const key = peer.remotePublicKey.toString('hex')
    const id = this.ids.get(key) ?? ++this.lastId
    this.ids.set(key, id)
    const member = this.present.get(id)
    if (member) return void member.peers.push(peer)
    return this.present.set(id, { id, publicKey: peer.remotePublicKey, peers: [peer] }).get(id)
  }

  // Returns the member if this was its last connection.
  remove (peer) {
    const key = peer.remotePublicKey.toString('hex')
    const member = this.present.get(this.ids.get(key))
    if (!member) return
    member.peers = member.peers.filter(each => each !== peer)
    if (member.peers.length) return
    this.present.delete(member.id)
    this.ids.delete(key) // move it to the end of those that are gone
    this.ids.set(key, member.id)
    if (this.ids.size - this.present.size > IDS_KEPT) this.forgetOne()
    return member
  }

  forgetOne () {
    for (const [key, id] of this.ids) if (!this.present.has(id)) return this.ids.delete(key)
  }

  of (peer) {
    return this.present.get(this.ids.get(peer.remotePublicKey.toString('hex')))
  }

  // Its newest connection: an older one of the same peer may be dead without a sign.
  connection (peerId) {
    const member = this.present.get(peerId)
    if (member) return member.peers.at(-1)
    if (peerId >= 1 && peerId <= this.lastId) throw new PeerGone(`peer ${peerId} is gone`)
    throw new RangeError(`no peer has had the id ${peerId}`)
  }
}

// One handle of a topic. Other handles of the topic are independent of it.
class Topic extends EventTarget {
  #peersockets
  #extension

  constructor (peersockets, name, extension) {
    super()
    this.name = name
    this.#peersockets = peersockets
    this.#extension = extension
  }

  // Throws for a peer that is not present. There is no back pressure: hypercore keeps messages that a peer does not
  // read.
  send (peerId, message) {
    if (!this.#extension) throw new Error(`the topic ${this.name} is closed`)
    if (!(message instanceof Uint8Array)) throw new TypeError('a message must be a Uint8Array')
    const largest = LARGEST_FRAME - FRAMING - Buffer.byteLength(this.name)
    if (message.byteLength > largest) throw new RangeError(`a message of more than ${largest} bytes`)
    this.#extension.send(message, this.#peersockets._members.connection(peerId))
  }

  close () {
    if (!this.#extension) return
    this.#extension = null
    this.#peersockets._leave(this)
  }
}

// Fires `join` for every peer that is present or comes, and `leave` for every peer that goes.
class PeerEvents extends EventTarget {
  #waiting = [] // events from the time before the program can add its listeners
  #peersockets

  constructor (peersockets) {
    super()
    this.#peersockets = peersockets
    for (const { id, publicKey } of peersockets._members.present.values()) this._notice('join', id, publicKey)
    queueMicrotask(() => {
      const waiting = this.#waiting
      this.#waiting = null
      for (const event of waiting ?? []) if (this.#peersockets) this.dispatchEvent(event)
    })
  }

  _notice (type, id, publicKey) {
    const event = new PeerEvent(type, id, publicKey)
    if (this.#waiting) this.#waiting.push(event)
    else this.dispatchEvent(event)
  }

  close () {
    this.#peersockets?._watches.delete(this)
    this.#peersockets = null
  }
}

class Peersockets {
  constructor (drive) {
    this._core = drive.core
    this._members = new Members()
    this._watches = new Set()
    this._topics = new Map() // by name: the extension, and the handles
    this._asking = new Set() // the objects that carry requests
    this._core.on('peer-add', peer => this._report('join', this._members.add(peer)))
    this._core.on('peer-remove', peer => this._report('leave', this._members.remove(peer)))
    this._core.on('close', () => this._close())
    for (const peer of this._core.peers) this._members.add(peer)
  }

  // The public key of each member, by its id.
  get peers () {
    return new Map([...this._members.present].map(([id, { publicKey }]) => [id, publicKey]))
  }

  join (name) {
    if (typeof name !== 'string') throw new TypeError('a topic must be a string')
    this._mustBeOpen()
    if (!this._topics.has(name)) this._topics.set(name, { extension: this._register(name), handles: new Set() })
    const { extension, handles } = this._topics.get(name)
    const topic = new Topic(this, name, extension)
    handles.add(topic)
    return topic
  }

  watch () {
    this._mustBeOpen()
    const events = new PeerEvents(this)
    this._watches.add(events)
    return events
  }

  // Asks peers on a topic, and answers them if there is a handler: (data, peerId, signal) => Uint8Array, or a promise
  // of one. See requests.js.
  requests (name, handler, onfailure) {
    const topic = this.join(name)
    const requests = new Requests(({ onmessage }) => {
      topic.addEventListener('message', event => onmessage(event.message, event.peerId))
      return { send: (message, peerId) => topic.send(peerId, message) }
    }, handler, onfailure)
    this._asking.add(requests)
    return {
      request: (peerId, data, { signal } = {}) => requests.request(data, peerId, signal),
      close: () => {
        if (!this._asking.delete(requests)) return
        requests.close(new Error(`the topic ${name} is closed`))
        topic.close()
      }
    }
  }

  // Does not replace an extension of the application: hypercore would silently take it away.
  _register (name) {
    const extension = `peersockets/v0/${name}`
    if (this._core.extensions.has(extension)) throw new Error(`the application has registered ${extension} itself`)
    return this._core.registerExtension(extension, {
      encoding: 'binary',
      onmessage: (message, peer) => this._receive(name, message, peer)
    })
  }

  _receive (name, message, peer) {
    const member = this._members.of(peer)
    if (!member || !this._topics.has(name)) return
    const { handles } = this._topics.get(name)
    for (const topic of [...handles]) { // a listener may close other handles
      const event = new MessageEvent(member.id, member.publicKey, message ?? Buffer.alloc(0))
      if (handles.has(topic)) topic.dispatchEvent(event)
    }
  }

  _leave (topic) {
    const { extension, handles } = this._topics.get(topic.name)
    handles.delete(topic)
    if (handles.size) return
    extension.destroy()
    this._topics.delete(topic.name)
  }

  _report (type, member) {
    if (!member) return
    for (const events of this._watches) events._notice(type, member.id, member.publicKey)
    if (type === 'leave') for (const requests of this._asking) requests.left(member.id)
  }

  // The drive is closed here: every peer leaves, and every topic closes.
  _close () {
    for (const { peers } of [...this._members.present.values()]) {
      for (const peer of peers) this._report('leave', this._members.remove(peer))
    }
    for (const { handles } of [...this._topics.values()]) for (const topic of [...handles]) topic.close()
  }

  _mustBeOpen () {
    if (this._core.closed) throw new Error('the drive is closed')
  }
}

// Returns the peersockets of a drive that is ready: the same object for each call with the same drive.
function peersockets (drive) {
  if (!drive?.core?.opened) throw new Error('the drive must be ready: await drive.ready()')
  if (!instances.has(drive.core)) instances.set(drive.core, new Peersockets(drive))
  return instances.get(drive.core)
}

module.exports = Object.assign(peersockets, { PeerGone, RequestError })
