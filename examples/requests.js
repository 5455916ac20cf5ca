'use strict'

// Asks and answers requests on a topic, as docs/requests.md describes. It depends on nothing; copy it.
//
//   hyperdrive 13: new Requests(options => drive.core.registerExtension('peersockets/v0/ask', options), handler)
//                  drive.core.on('peer-remove', peer => requests.left(peer))
//   hyperdrive 10: new Requests(options => peersockets.join('ask', options), handler)
//                  networker.on('peer-remove', peer => requests.left(peer))

const [REQUEST, REPLY, ERROR, CANCEL] = [0, 1, 2, 3]
const AT_A_TIME = 64 // requests of one peer

class Requests {
  constructor (join, handler) {
    this.handler = handler // async (data, peer, signal) => Buffer
    this.asked = new Map() // by id
    this.answering = new Map() // by peer, and there by id
    this.lastId = Math.floor(Math.random() * 2 ** 32)
    this.topic = join({ encoding: 'binary', onmessage: (message, peer) => this.receive(message, peer) })
  }

  // Resolves to the reply, a Buffer. Give it AbortSignal.timeout(ms): who does not answer says nothing.
  async request (data, peer, signal) {
    signal?.throwIfAborted()
    const id = this.lastId = (this.lastId + 1) % 2 ** 32
    const abort = reject => {
      if (this.asked.has(id)) this.topic.send(encode(CANCEL, id), peer)
      reject(signal.reason)
    }
    try {
      return await new Promise((resolve, reject) => {
        this.topic.send(encode(REQUEST, id, data), peer)
        this.asked.set(id, { peer, resolve, reject })
        signal?.addEventListener('abort', () => abort(reject))
      })
    } finally {
      this.asked.delete(id)
    }
  }

  left (peer) {
    for (const asked of this.asked.values()) if (asked.peer === peer) asked.reject(new Error('peer is gone'))
    for (const controller of this.answering.get(peer)?.values() ?? []) controller.abort()
  }

  receive (message, peer) {
    const [kind, id, body] = decode(message)
    if (kind === REQUEST) this.answer(id, body, peer)
    if (kind === CANCEL) this.answering.get(peer)?.get(id)?.abort()
    const asked = this.asked.get(id)
    if (asked?.peer !== peer) return
    if (kind === REPLY) asked.resolve(body)
    if (kind === ERROR) asked.reject(new Error(body.toString()))
  }

  async answer (id, data, peer) {
    const controllers = this.answering.get(peer) ?? new Map()
    if (controllers.has(id)) return
    if (controllers.size >= AT_A_TIME) return this.topic.send(encode(ERROR, id, Buffer.from('busy')), peer)
    const { signal } = controllers.set(id, new AbortController()).get(id)
    this.answering.set(peer, controllers)
    const answer = await this.handler(data, peer, signal).then(
      reply => encode(REPLY, id, reply),
      error => encode(ERROR, id, Buffer.from(error.message)))
    controllers.delete(id)
    if (!controllers.size) this.answering.delete(peer)
    if (!signal.aborted) this.topic.send(answer, peer)
  }
}

// As much of CBOR as there is in an envelope. A head is a major type and a number, as short as it can be.

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

// Returns [kind, id, body], or [] for what is no envelope: then it is not what `encode` makes of it.
function decode (message) {
  const kind = message[1]
  const idSize = sizeOfHead(message[2])
  const bodyAt = 2 + idSize + (kind === CANCEL ? 0 : sizeOfHead(message[2 + idSize]))
  if (!(kind <= CANCEL) || bodyAt > message.length) return []
  const id = idSize > 1 ? message.readUIntBE(3, idSize - 1) : message[2]
  const body = kind === CANCEL ? undefined : message.subarray(bodyAt)
  return encode(kind, id, body).equals(message) ? [kind, id, body] : []
}

const sizeOfHead = first => [2, 3, 5][(first & 31) - 24] ?? 1

module.exports = { Requests, encode, decode }
