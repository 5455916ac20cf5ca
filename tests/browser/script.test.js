// The pages' script without a browser: the frames that it writes, and the events that it makes from frames.
'use strict'
const assert = require('node:assert/strict')
const { readFileSync } = require('node:fs')
const path = require('node:path')
const { beforeEach, mock, test } = require('node:test')
const vm = require('node:vm')

const file = path.join(__dirname, '../../src/peersockets_trio/browser/static/peersockets.js')
const script = new vm.Script(readFileSync(file, 'utf8'), { filename: file })
const KEYS = { hypercore9: '09'.repeat(32), hypercore11: '11'.repeat(32) }

let sockets, page, peersockets

class Socket { // the gateway's end of a WebSocket, used as the page's own
  static OPEN = 1
  static CLOSED = 3

  constructor (url, subprotocol) {
    Object.assign(this, { url, subprotocol, readyState: 0, frames: [] })
    sockets.push(this)
  }

  send (frame) {
    assert.equal(this.readyState, Socket.OPEN)
    this.frames.push(typeof frame === 'string' ? JSON.parse(frame) : [...frame])
  }

  close () { this.readyState = 2 }

  // The actions of the gateway

  open () {
    this.readyState = Socket.OPEN
    this.onopen()
    this.write('ready', { publicKeys: KEYS })
  }

  write (...fields) { this.onmessage({ data: JSON.stringify(fields) }) }

  writeBinary (...bytes) { this.onmessage({ data: new Uint8Array(bytes).buffer }) }

  end (code, reason = '') {
    this.readyState = Socket.CLOSED
    this.onclose({ code, reason })
  }

  taken () { return this.frames.splice(0) }
}

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout'] })
  sockets = []
  page = new EventTarget()
  const globals = {
    WebSocket: Socket, Event, EventTarget, TextEncoder, URL, Uint8Array, ArrayBuffer, DataView,
    queueMicrotask, setTimeout, clearTimeout, Math: { min: Math.min, random: () => 1 },
    location: { href: 'http://name.localhost:80/a/b.html' },
    document: Object.assign(new EventTarget(), { visibilityState: 'visible' }),
    addEventListener: (type, listener) => page.addEventListener(type, listener),
    console: { warn: mock.fn(), error: mock.fn() }
  }
  script.runInNewContext(globals)
  peersockets = globals.beaker.peersockets
  page.globals = globals
})

const collect = (target, ...types) => {
  const events = []
  for (const type of types) target.addEventListener(type, event => events.push({ type, ...event }))
  return events
}
const plain = events => events.map(event => {
  const names = Object.keys(event).filter(name => name !== 'isTrusted' && name !== 'publicKey')
  return Object.fromEntries(names.map(name => [name, event[name]]))
})
const bytes = text => new TextEncoder().encode(text)

test('the first join or watch opens the socket, and all handles follow once it is open', () => {
  assert.equal(sockets.length, 0)
  peersockets.watch()
  peersockets.join('ä')
  const [socket] = sockets
  assert.deepEqual([socket.url, socket.subprotocol], ['ws://name.localhost/.peersockets/socket', 'peersockets.v1'])
  assert.equal(peersockets.state, 'connecting')
  socket.open()
  assert.deepEqual(socket.taken(), [['watch', 1], ['join', 2, 'ä']])
  peersockets.join('later')
  assert.deepEqual(socket.taken(), [['join', 3, 'later']])
  assert.deepEqual([peersockets.state, peersockets.publicKey], ['open', KEYS.hypercore11])
})

test('single messages and batches arrive in order, each in a buffer of its own', () => {
  const chat = peersockets.join('chat')
  const events = collect(chat, 'message')
  sockets[0].open()
  sockets[0].write('peer', 1, 'aa', 'hypercore9')
  sockets[0].write('peer', 2, 'aa', 'hypercore11')
  sockets[0].writeBinary(0, 0, 0, 1, 0, 0, 0, 2, 7)
  sockets[0].writeBinary(0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 8, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0)
  assert.deepEqual(events.map(({ peerId, message }) => [peerId, [...message], message.buffer.byteLength]), [
    [2, [7], 1],
    [1, [8, 9], 2],
    [2, [], 0]
  ])
})

test('messages of one turn form one batch, and no frame overtakes them', async () => {
  const chat = peersockets.join('chat')
  sockets[0].open()
  sockets[0].write('peer', 3, 'aa', 'hypercore9')
  sockets[0].taken()
  chat.send(1, bytes('a'))
  chat.send(1, bytes('bc'))
  peersockets.watch()
  chat.send(1, bytes(''))
  assert.deepEqual(sockets[0].taken(), [
    [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 97, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, 98, 99],
    ['watch', 2]
  ])
  await null
  await null
  assert.deepEqual(sockets[0].taken(), [[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0]])
})

test('messages beyond the window wait for this peer alone, and the handle closes after them', () => {
  const chat = peersockets.join('chat')
  sockets[0].open()
  sockets[0].write('peer', 1, 'aa', 'hypercore9')
  sockets[0].write('peer', 2, 'bb', 'hypercore9')
  sockets[0].taken()
  const large = new Uint8Array(1 << 20)
  for (let i = 0; i < 3; i++) chat.send(1, large)
  chat.send(2, large)
  assert.deepEqual(sockets[0].taken().map(frame => frame.slice(0, 8)), [
    [0, 0, 0, 1, 0, 0, 0, 1],
    [0, 0, 0, 1, 0, 0, 0, 2]
  ])
  chat.close()
  assert.equal(chat.bufferedAmount, 4 << 20)
  sockets[0].write(1, 'sent', 1, 1 << 20)
  sockets[0].write(1, 'sent', 1, 2 << 20)
  sockets[0].write(1, 'sent', 2, 1 << 20)
  assert.equal(sockets[0].taken().length, 2)
  sockets[0].write(1, 'sent', 1, 3 << 20)
  assert.deepEqual(sockets[0].taken(), [['close', 1]])
  assert.equal(chat.bufferedAmount, 0)
})

test('a page that reconnects knows its peers by wire and key, and joins and watches again', () => {
  const watch = peersockets.watch()
  const closed = peersockets.join('closed')
  const chat = peersockets.join('chat')
  const events = collect(watch, 'join', 'leave')
  sockets[0].open()
  sockets[0].write('peer', 1, 'aa', 'hypercore9')
  sockets[0].write('peer', 2, 'aa', 'hypercore11')
  sockets[0].write(1, 'join', 1)
  sockets[0].write(1, 'join', 2)
  chat.send(2, bytes('lost'))
  closed.close()
  sockets[0].end(1006)
  chat.send(2, bytes('into nothing'))
  assert.equal(chat.bufferedAmount, 0)
  mock.timers.tick(100)
  sockets[1].open()
  assert.deepEqual(sockets[1].taken(), [['watch', 1], ['join', 3, 'chat']])
  sockets[1].write('peer', 1, 'aa', 'hypercore11')
  sockets[1].write(1, 'join', 1)
  const reason = 'the gateway is gone'
  assert.deepEqual(plain(events), [
    { type: 'join', peerId: 1 },
    { type: 'join', peerId: 2 },
    { type: 'leave', peerId: 1, reason, unsent: 0 },
    { type: 'leave', peerId: 2, reason, unsent: 4 },
    { type: 'join', peerId: 2 }
  ])
})

test('pauses grow to five seconds, and end when the network comes back', () => {
  peersockets.watch()
  for (const pause of [100, 200, 400, 800, 1600, 3200, 5000, 5000]) {
    const count = sockets.length
    sockets.at(-1).end(1006)
    mock.timers.tick(pause - 1)
    assert.equal(sockets.length, count)
    mock.timers.tick(1)
    assert.equal(sockets.length, count + 1)
  }
  sockets.at(-1).end(1006)
  page.dispatchEvent(new Event('online'))
  assert.equal(sockets.length, 10)
  sockets.at(-1).open()
  sockets.at(-1).end(1001)
  mock.timers.tick(100)
  assert.equal(sockets.length, 11)
})

test('a fault ends the attempts, with an error on the console', () => {
  peersockets.watch()
  sockets[0].open()
  sockets[0].end(4400, 'a handle was never opened')
  mock.timers.tick(10000)
  assert.deepEqual([sockets.length, peersockets.state], [1, 'failed'])
  assert.match(page.globals.console.error.mock.calls[0].arguments[0], /a handle was never opened/)
})

test('losses are events, and warnings unless a listener prevents them', () => {
  const chat = peersockets.join('chat')
  const events = collect(chat, 'lost', 'missed')
  sockets[0].open()
  sockets[0].write('peer', 1, 'aa', 'hypercore9')
  sockets[0].write(1, 'lost', 1, 'full', 2, 20)
  sockets[0].write(1, 'missed', 3, 30)
  assert.deepEqual(plain(events), [
    { type: 'lost', peerId: 1, reason: 'full', messages: 2, bytes: 20 },
    { type: 'missed', messages: 3, bytes: 30 }
  ])
  const { warn } = page.globals.console
  assert.equal(warn.mock.callCount(), 2)
  chat.addEventListener('missed', event => event.preventDefault())
  sockets[0].write(1, 'missed', 3, 30)
  assert.equal(warn.mock.callCount(), 2)
})

test('unknown frames and frames for closed handles do nothing', () => {
  const watch = peersockets.watch()
  const events = collect(watch, 'join')
  sockets[0].open()
  sockets[0].write('peer', 1, 'aa', 'hypercore9')
  sockets[0].write('news', 1)
  sockets[0].write(1, 'news', 1)
  sockets[0].write(7, 'join', 1)
  watch.close()
  watch.close()
  sockets[0].write(1, 'join', 1)
  assert.deepEqual(sockets[0].taken(), [['watch', 1], ['close', 1]])
  assert.deepEqual(events, [])
})

test('a page that is left closes its socket, and one that comes back reconnects', () => {
  const watch = peersockets.watch()
  const events = collect(watch, 'join', 'leave')
  sockets[0].open()
  sockets[0].write('peer', 1, 'aa', 'hypercore9')
  sockets[0].write(1, 'join', 1)
  page.dispatchEvent(new Event('pagehide'))
  assert.deepEqual([sockets[0].readyState, peersockets.state], [2, 'idle'])
  sockets[0].end(1000)
  page.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }))
  assert.equal(sockets.length, 2)
  assert.deepEqual(events.map(({ type }) => type), ['join', 'leave'])
})
