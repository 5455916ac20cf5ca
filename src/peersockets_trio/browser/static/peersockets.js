// `beaker.peersockets` for the pages of `peersockets serve`; peersockets.d.ts describes it. This script and the gateway
// speak peersockets.v1, which docs/protocol/browser.md specifies.
'use strict'
;(() => {
  if (globalThis.beaker?.peersockets) return

  const SOCKET_URL = new URL('/.peersockets/socket', location.href.replace(/^http/, 'ws')).href
  const SUBPROTOCOL = 'peersockets.v1'

  const LARGEST_TOPIC = 65536 // bytes of UTF-8
  const LARGEST_MESSAGE = 8388608 // bytes
  const MOST_HANDLES = 1024

  const BATCH = 0 // the handle number that marks a batch
  const BATCH_SIZE = 65536 // bytes. A full batch leaves before the page's turn of the event loop ends.
  const RECORD_HEAD = 12 // bytes: handle, peer id, length
  const MESSAGE_HEAD = 8 // bytes: handle, peer id
  const WINDOW = 1048576 // bytes in flight to a peer. More waits here, so the gateway never has to drop messages.

  const FIRST_PAUSE = 100 // milliseconds until the page tries to connect again
  const LONGEST_PAUSE = 5000
  const FAULTS = new Set([1009, 4400]) // close codes after which another attempt would fail in the same way

  // Events. Their fields are own properties, so that `{...event}` and the console show them.

  class PeerEvent extends Event {
    constructor (type, peer, fields) {
      super(type, { cancelable: type === 'lost' })
      this.peerId = peer.id
      this.publicKey = peer.publicKey
      Object.assign(this, fields)
    }
  }

  class PeerMessageEvent extends Event {
    constructor (peer, message) {
      super('message')
      this.peerId = peer.id
      this.publicKey = peer.publicKey
      this.message = message
    }
  }

  class MissedEvent extends Event {
    constructor (messages, bytes) {
      super('missed', { cancelable: true })
      this.messages = messages
      this.bytes = bytes
    }
  }

  // Peers. The page's ids last as long as the page. The gateway's ids end with its socket.

  const met = new Map() // wire and public key -> peer
  const peers = [] // id of the page -> peer
  let introduced = [] // id of the gateway -> peer

  function introduce (gatewayId, publicKey, wire) {
    const identity = `${wire} ${publicKey}`
    let peer = met.get(identity)
    if (peer === undefined) {
      peer = { id: met.size + 1, publicKey, gatewayId: 0, flying: 0, waiting: [], waitingBytes: 0 }
      met.set(identity, peer)
      peers[peer.id] = peer
    }
    peer.gatewayId = gatewayId
    introduced[gatewayId] = peer
  }

  function forgetPeer (peer) {
    Object.assign(peer, { gatewayId: 0, flying: 0, waiting: [], waitingBytes: 0 })
  }

  // Handles: joins and watches

  const handles = new Map() // number -> handle that the gateway knows or will know
  let handleCount = 0

  function openHandle (target, name, ...parameters) {
    if (handles.size >= MOST_HANDLES) {
      throw new RangeError(`a page has at most ${MOST_HANDLES} topics and watches at a time`)
    }
    const number = ++handleCount
    const handle = {
      number,
      target,
      frame: JSON.stringify([name, number, ...parameters]),
      closed: false,
      present: new Set(), // the members that a watch has reported
      buffered: 0, // bytes that are still in the gateway's queues
      settled: new Map() // peer -> bytes on this socket that have left them
    }
    handles.set(number, handle)
    if (socket === null) connect()
    else sendText(handle.frame)
    return handle
  }

  function closeHandle (handle) {
    handle.closed = true
    closeSettled(handle)
  }

  // The gateway takes messages only for open handles, so it gets the close after all of them.
  function closeSettled (handle) {
    if (handle.buffered === 0 && handles.delete(handle.number)) sendText(JSON.stringify(['close', handle.number]))
  }

  class Topic extends EventTarget {
    #handle

    constructor (name) {
      super()
      this.#handle = openHandle(this, 'join', name)
    }

    send (peerId, message) {
      if (typeof peerId !== 'number') throw new TypeError(`peerId must be a number, not ${kindOf(peerId)}`)
      if (!isBytes(message)) throw new TypeError(`message must be a Uint8Array, not ${kindOf(message)}`)
      if (message.length > LARGEST_MESSAGE) {
        throw new RangeError(`message must have at most ${LARGEST_MESSAGE} bytes, not ${message.length}`)
      }
      const handle = this.#handle
      const peer = peers[peerId]
      if (handle.closed || peer === undefined || peer.gatewayId === 0) return
      handle.buffered += message.length
      if (peer.flying < WINDOW) {
        sendMessage(handle, peer, message)
      } else {
        peer.waiting.push([handle, message.slice()])
        peer.waitingBytes += message.length
      }
    }

    get bufferedAmount () {
      return this.#handle.buffered
    }

    close () {
      closeHandle(this.#handle)
    }
  }

  class PeerEvents extends EventTarget {
    #handle

    constructor () {
      super()
      this.#handle = openHandle(this, 'watch')
    }

    close () {
      closeHandle(this.#handle)
    }
  }

  // `instanceof` does not recognize a Uint8Array of another frame.
  function isBytes (value) {
    return value instanceof Uint8Array || Object.prototype.toString.call(value) === '[object Uint8Array]'
  }

  function kindOf (value) {
    if (value === null) return 'null'
    return typeof value === 'object' ? value.constructor?.name ?? 'object' : typeof value
  }

  // Sending. The messages of one turn of the event loop leave as one frame: a frame costs far more than a message.

  const EMPTY = 4 // bytes: the mark of a batch
  const batch = new Uint8Array(BATCH_SIZE)
  const batchView = new DataView(batch.buffer)
  let filled = EMPTY
  let flushing = false

  function sendMessage (handle, peer, message) {
    peer.flying += message.length
    const end = filled + RECORD_HEAD + message.length
    if (end > BATCH_SIZE) {
      flush()
      if (EMPTY + RECORD_HEAD + message.length > BATCH_SIZE) sendLarge(handle, peer, message)
      else addToBatch(handle, peer, message)
    } else {
      addToBatch(handle, peer, message)
    }
  }

  function addToBatch (handle, peer, message) {
    batchView.setUint32(filled, handle.number)
    batchView.setUint32(filled + 4, peer.gatewayId)
    batchView.setUint32(filled + 8, message.length)
    batch.set(message, filled + RECORD_HEAD)
    filled += RECORD_HEAD + message.length
    if (!flushing) {
      flushing = true
      queueMicrotask(flushTurn)
    }
  }

  function sendLarge (handle, peer, message) {
    const frame = new Uint8Array(MESSAGE_HEAD + message.length)
    const view = new DataView(frame.buffer)
    view.setUint32(0, handle.number)
    view.setUint32(4, peer.gatewayId)
    frame.set(message, MESSAGE_HEAD)
    socket.send(frame)
  }

  function flushTurn () {
    flushing = false
    flush()
  }

  function flush () {
    if (filled > EMPTY) socket.send(batch.subarray(0, filled))
    filled = EMPTY
  }

  function sendText (frame) {
    if (socket?.readyState !== WebSocket.OPEN) return
    flush() // a frame never overtakes earlier messages
    socket.send(frame)
  }

  function sendWaiting (peer) {
    let count = 0
    for (const [handle, message] of peer.waiting) {
      if (peer.flying >= WINDOW) break
      sendMessage(handle, peer, message)
      peer.waitingBytes -= message.length
      count++
    }
    peer.waiting.splice(0, count)
  }

  // Receiving

  const textFrames = {
    ready (keys) {
      publicKeys = Object.freeze({ ...keys.publicKeys })
      setState('open')
    },
    peer: introduce
  }

  const handleFrames = {
    join (watch, gatewayId) {
      const peer = introduced[gatewayId]
      watch.present.add(peer)
      emit(watch, new PeerEvent('join', peer))
    },
    leave (watch, gatewayId, reason, unsent) {
      const peer = introduced[gatewayId]
      watch.present.delete(peer)
      emit(watch, new PeerEvent('leave', peer, { reason, unsent }))
    },
    sent (topic, gatewayId, total) {
      const peer = introduced[gatewayId]
      const bytes = total - (topic.settled.get(peer) ?? 0)
      topic.settled.set(peer, total)
      topic.buffered -= bytes
      peer.flying -= bytes
      if (peer.waiting.length > 0) sendWaiting(peer)
      if (topic.closed) closeSettled(topic)
    },
    lost (topic, gatewayId, reason, messages, bytes) {
      const event = new PeerEvent('lost', introduced[gatewayId], { reason, messages, bytes })
      emit(topic, event, `peer ${event.peerId} did not get ${messages} messages: ${reason}`)
    },
    missed (topic, messages, bytes) {
      emit(topic, new MissedEvent(messages, bytes), `this page was too slow and missed ${messages} messages`)
    }
  }

  function emit (handle, event, warning) {
    if (handle.closed) return
    if (handle.target.dispatchEvent(event) && warning) console.warn(`beaker.peersockets: ${warning}`)
  }

  function receiveText (text) {
    const [first, ...rest] = JSON.parse(text)
    if (typeof first === 'string') {
      textFrames[first]?.(...rest)
    } else {
      const handle = handles.get(first)
      if (handle !== undefined) handleFrames[rest[0]]?.(handle, ...rest.slice(1))
    }
  }

  function receiveMessages (buffer) {
    const view = new DataView(buffer)
    const number = view.getUint32(0)
    if (number !== BATCH) {
      deliver(number, view.getUint32(4), buffer.slice(MESSAGE_HEAD))
      return
    }
    for (let start = EMPTY, end; start < buffer.byteLength; start = end) {
      end = start + RECORD_HEAD + view.getUint32(start + 8)
      deliver(view.getUint32(start), view.getUint32(start + 4), buffer.slice(start + RECORD_HEAD, end))
    }
  }

  function deliver (number, gatewayId, buffer) {
    const topic = handles.get(number)
    if (topic === undefined || topic.closed) return
    topic.target.dispatchEvent(new PeerMessageEvent(introduced[gatewayId], new Uint8Array(buffer)))
  }

  // The connection to the gateway. The first join or watch opens it.

  let socket = null
  let state = 'idle'
  let publicKeys = null
  let pause = FIRST_PAUSE
  let timer = 0

  function connect () {
    clearTimeout(timer)
    const attempt = new WebSocket(SOCKET_URL, SUBPROTOCOL)
    attempt.binaryType = 'arraybuffer'
    attempt.onopen = () => {
      pause = FIRST_PAUSE
      for (const handle of handles.values()) attempt.send(handle.frame)
    }
    attempt.onmessage = ({ data }) => {
      if (attempt !== socket) return
      if (typeof data === 'string') receiveText(data)
      else receiveMessages(data)
    }
    attempt.onclose = ({ code, reason }) => {
      if (attempt !== socket) return
      if (FAULTS.has(code)) {
        console.error(`beaker.peersockets: the gateway has closed the connection: ${reason || code}`)
        disconnected('failed')
      } else {
        timer = setTimeout(connect, pause * (0.5 + Math.random() / 2))
        pause = Math.min(2 * pause, LONGEST_PAUSE)
        disconnected('connecting')
      }
    }
    socket = attempt
    setState('connecting')
  }

  // Reports that all peers have left. Messages in flight may be lost; `unsent` counts them.
  function disconnected (next) {
    const unsent = new Map(introduced.filter(Boolean).map(peer => [peer, peer.flying + peer.waitingBytes]))
    filled = EMPTY
    introduced = []
    for (const peer of unsent.keys()) forgetPeer(peer)
    setState(next)
    for (const handle of [...handles.values()]) {
      const left = [...handle.present]
      handle.present.clear()
      handle.settled.clear()
      handle.buffered = 0
      if (handle.closed) handles.delete(handle.number)
      for (const peer of left) {
        emit(handle, new PeerEvent('leave', peer, { reason: 'the gateway is gone', unsent: unsent.get(peer) }))
      }
    }
  }

  function setState (next) {
    if (state === next) return
    state = next
    peersockets.dispatchEvent(new Event('statechange'))
  }

  function connectAtOnce () {
    if (state === 'connecting' && socket.readyState === WebSocket.CLOSED) connect()
  }

  addEventListener('online', connectAtOnce)
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') connectAtOnce()
  })

  // The back button may bring back a page in its former state.
  addEventListener('pagehide', () => {
    if (state !== 'connecting' && state !== 'open') return
    clearTimeout(timer)
    const left = socket
    socket = null
    left.close()
    disconnected('idle')
  })
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted && state === 'idle' && handles.size > 0) connect()
  })

  // The API

  class Peersockets extends EventTarget {
    join = topic => {
      if (typeof topic !== 'string') throw new TypeError(`topic must be a string, not ${kindOf(topic)}`)
      if (/\p{Surrogate}/u.test(topic)) throw new TypeError('topic must be text without lone surrogates')
      if (new TextEncoder().encode(topic).length > LARGEST_TOPIC) {
        throw new RangeError(`topic must have at most ${LARGEST_TOPIC} bytes of UTF-8`)
      }
      return new Topic(topic)
    }

    watch = () => new PeerEvents()

    get publicKey () {
      return publicKeys?.hypercore11 ?? null
    }

    get publicKeys () {
      return publicKeys
    }

    get state () {
      return state
    }
  }

  const peersockets = new Peersockets()
  globalThis.beaker ??= {}
  Object.defineProperty(globalThis.beaker, 'peersockets', { value: peersockets, enumerable: true })
})()
