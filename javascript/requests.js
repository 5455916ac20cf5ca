'use strict'

// Asks and answers requests on a topic, as docs/requests.md describes. `requests` of index.js uses it on hyperdrive 13.
// It also works alone, with every topic that has `send(message, peer)`:
//
//   hyperdrive 13: new Requests(options => drive.core.registerExtension('peersockets/v0/ask', options), handler)
//                  drive.core.on('peer-remove', peer => requests.left(peer))
//   hyperdrive 10: new Requests(options => peersockets.join('ask', options), handler)
//                  networker.on('peer-remove', peer => requests.left(peer))

const [REQUEST, REPLY, ERROR, CANCEL] = [0, 1, 2, 3]
const FAILED = 'the handler failed' // the text that an asker gets for any error but a RequestError
const [OF_ONE_PEER, OF_ALL_PEERS, BYTES_OF_ALL] = [64, 1024, 64 * 2 ** 20] // of requests in progress
const LARGEST = 8 * 2 ** 20 - 1024 // bytes that both wires carry. On hypercore9, more would end the connection.

// A handler throws it, and the asker gets its text. A request that is answered with an error is rejected with it.
class RequestError extends Error {}

class Requests {
  // `handler` is (data, peer, signal) => Buffer, or a promise of one. Without it, requests get no answer. `onfailure`
  // is called with anything else that a handler throws: this is a bug of the handler.
  constructor (join, handler, onfailure = error => console.error('peersockets: %s:', FAILED, error)) {
    this.handler = handler
    this.onfailure = onfailure
    this.asked = new Map() // by id
    this.answering = new Map() // by peer, and there by id
    this.count = this.bytes = 0 // of the requests in progress
    this.lastId = Math.floor(Math.random() * 2 ** 32)
    this.topic = join({ encoding: 'binary', onmessage: (message, peer) => this.receive(message, peer) })
  }

  // Resolves to the reply, a Buffer. Give it AbortSignal.timeout(ms), since a peer may never answer.
  async request (data, peer, signal) {
    signal?.throwIfAborted()
    if (!(data instanceof Uint8Array)) throw new TypeError('a request must be a Buffer')
    if (data.length > LARGEST) throw new RangeError(`a request of more than ${LARGEST} bytes`)
    do this.lastId = (this.lastId + 1) % 2 ** 32; while (this.asked.has(this.lastId))
    const id = this.lastId
    let abort
    try {
      return await new Promise((resolve, reject) => {
        abort = () => reject(signal.reason)
        this.topic.send(encode(REQUEST, id, data), peer)
        this.asked.set(id, { peer, resolve, reject })
        signal?.addEventListener('abort', abort)
      })
    } catch (error) {
      if (this.asked.has(id) && signal?.aborted) this.transmit(CANCEL, id, undefined, peer)
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
      this.asked.delete(id)
    }
  }

  // Ends every request to a peer, and every handler at work. The peers get a cancel or an error.
  close (reason) {
    for (const [id, { peer, reject }] of this.asked) {
      this.transmit(CANCEL, id, undefined, peer)
      reject(reason)
    }
    for (const [peer, controllers] of this.answering) {
      for (const [id, controller] of controllers) {
        this.transmit(ERROR, id, Buffer.from('no longer answering'), peer)
        controller.abort()
      }
    }
  }

  left (peer) {
    for (const asked of this.asked.values()) if (asked.peer === peer) asked.reject(new Error('peer is gone'))
    for (const controller of this.answering.get(peer)?.values() ?? []) controller.abort()
  }

  receive (message, peer) {
    const [kind, id, body] = decode(message ?? Buffer.alloc(0)) // hypercore 10 passes null for an empty message
    if (kind === REQUEST && this.handler) this.answer(id, body, peer)
    if (kind === CANCEL) this.answering.get(peer)?.get(id)?.abort()
    const asked = this.asked.get(id)
    if (asked?.peer !== peer) return
    if (kind === REPLY) asked.resolve(body)
    if (kind === ERROR) asked.reject(new RequestError(body.toString()))
  }

  // Never rejects: no caller waits for it, and Node ends the application for an unhandled rejection.
  async answer (id, data, peer) {
    const controllers = this.answering.get(peer) ?? new Map()
    if (controllers.has(id)) return
    const room = controllers.size < OF_ONE_PEER && this.count < OF_ALL_PEERS && this.bytes < BYTES_OF_ALL
    if (!room) return this.transmit(ERROR, id, Buffer.from('busy'), peer)
    const { signal } = controllers.set(id, new AbortController()).get(id)
    this.answering.set(peer, controllers)
    this.count++
    this.bytes += data.length
    const [kind, body] = await this.outcome(data, peer, signal)
    this.count--
    this.bytes -= data.length
    controllers.delete(id)
    if (!controllers.size) this.answering.delete(peer)
    if (signal.aborted) return
    if (body.length <= LARGEST) this.transmit(kind, id, body, peer)
    else this.transmit(ERROR, id, Buffer.from('the reply is too large'), peer)
  }

  async outcome (data, peer, signal) {
    try {
      const reply = await this.handler(data, peer, signal)
      if (!(reply instanceof Uint8Array)) throw new TypeError(`a handler must return a Buffer, not ${typeof reply}`)
      return [REPLY, reply]
    } catch (error) {
      if (error instanceof RequestError) return [ERROR, Buffer.from(error.message)]
      try {
        this.onfailure(error)
      } catch {} // a failed log is no reason to keep the asker waiting
      return [ERROR, Buffer.from(FAILED)]
    }
  }

  // Sends, unless the peer has left in the meantime.
  transmit (kind, id, body, peer) {
    try {
      this.topic.send(encode(kind, id, body), peer)
    } catch {}
  }
}

// The part of CBOR that an envelope needs. A head is a major type and a number, in the shortest form.

function head (major, number) {
  const size = number < 24 ? 0 : number < 2 ** 8 ? 1 : number < 2 ** 16 ? 2 : 4
  const bytes = Buffer.alloc(1 + size, major << 5 | (size ? 24 + Math.log2(size) : number))
  if (size) bytes.writeUIntBE(number, 1, size)
  return bytes
}

function encode (kind, id, body) {
  const start = [Buffer.from([body ? 0x83 : 0x82, kind]), head(0, id)]
  return Buffer.concat(body ? [...start, head(kind === ERROR ? 3 : 2, body.length), body] : start)
}

// Returns [kind, id, body], or [] if the message is no envelope, since then `encode` would not produce it.
function decode (message) {
  const kind = message[1]
  const idSize = sizeOfHead(message[2])
  const bodyAt = 2 + idSize + (kind === CANCEL ? 0 : sizeOfHead(message[2 + idSize]))
  if (!(kind <= CANCEL) || bodyAt > message.length) return []
  const id = idSize > 1 ? message.readUIntBE(3, idSize - 1) : message[2]
  const body = kind === CANCEL ? undefined : message.subarray(bodyAt)
  if (kind === ERROR && !Buffer.from(body.toString()).equals(body)) return [] // not UTF-8
  return encode(kind, id, body).equals(message) ? [kind, id, body] : []
}

const sizeOfHead = first => [2, 3, 5][(first & 31) - 24] ?? 1

module.exports = { Requests, RequestError, encode, decode }
