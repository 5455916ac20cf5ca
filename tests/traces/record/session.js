'use strict'

// One session between two peers in this process: an in-memory line that records each send and read, and the secrets of
// both sides. docs/traces.md explains the entries. Bytes are Buffers here.

const { createHash } = require('crypto')
const { Duplex } = require('stream')
const { setImmediate: nextTurn, setTimeout: sleep } = require('timers/promises')

const SIDES = ['initiator', 'responder']
const TURNS_A_CHUNK = 5 // turns of the event loop, so that the effects of a chunk are over before the next arrives
const QUIET_TURNS = 40

const digest = (size, ...parts) => createHash('shake256', { outputLength: size }).update(parts.join(' ')).digest()

// One end of the line.
class End extends Duplex {
  constructor (session, side) {
    super({ allowHalfOpen: true, readableHighWaterMark: 64 * 1024 * 1024 })
    this.session = session
    this.side = side
    this.other = null
    this.ending = false
  }

  _read () {}

  _write (chunk, encoding, done) {
    this.session.note(this.side, { sent: Buffer.from(chunk) })
    this.session.deliver(() => this.other.receive(Buffer.from(chunk)))
    done()
  }

  _final (done) {
    this.session.deliver(() => this.other.receive(null))
    done()
  }

  _destroy (error, done) {
    if (!this.writableFinished) this.session.deliver(() => this.other.receive(null))
    done(error)
  }

  receive (chunk) {
    if (this.destroyed || this.ending) return
    if (chunk === null) this.ending = true
    this.session.note(this.side, chunk === null ? { ended: true } : { received: chunk.length })
    this.push(chunk)
  }
}

class Session {
  constructor (name) {
    this.name = name
    this.entries = []
    this.secrets = {}
    for (const side of SIDES) {
      this.secrets[side] = {
        seed: digest(32, name, side, 'seed'),
        ephemeral: digest(32, name, side, 'ephemeral'),
        nonce: digest(24, name, side, 'nonce')
      }
    }
    this.pace = 0 // milliseconds between two chunks, for sessions in which chunks cause work on a disk
    this._deliveries = []
    this._delivering = false
    const [initiator, responder] = SIDES.map(side => new End(this, side))
    initiator.other = responder
    responder.other = initiator
    this.ends = { initiator, responder }
  }

  key (label) {
    return digest(32, this.name, label)
  }

  // Later input is not recorded.
  finish () {
    this.note = () => {}
  }

  note (side, fields) {
    const entry = Object.entries(fields).map(([name, value]) => [name, Buffer.isBuffer(value) ? value.toString('hex') : value])
    this.entries.push({ side, ...Object.fromEntries(entry) })
  }

  // That side breaks the rules, so no other implementation can play it.
  forget (side) {
    delete this.secrets[side]
  }

  deliver (delivery) {
    this._deliveries.push(delivery)
    if (!this._delivering) this._deliver()
  }

  async _deliver () {
    this._delivering = true
    while (this._deliveries.length) {
      for (let i = 0; i < TURNS_A_CHUNK; i++) await nextTurn()
      if (this.pace) await sleep(this.pace)
      this._deliveries.shift()()
    }
    this._delivering = false
  }

  // Waits until nothing has happened for a while.
  async settle () {
    for (let seen = -1; seen !== this.entries.length || this._delivering;) {
      seen = this.entries.length
      for (let i = 0; i < QUIET_TURNS; i++) await nextTurn()
      if (this.pace) await sleep(2 * this.pace)
    }
  }
}

// Replaces libsodium's randomness with bytes that are the same in every run. When a session connects, the next bytes
// are its secrets, in the order in which the peers draw them.
class Entropy {
  constructor () {
    this.begin({ name: '', secrets: {} })
  }

  begin (session) {
    this._name = session.name
    this._count = 0
    this._ephemerals = []
    this._nonces = []
    session.connecting = () => {
      session.connecting = () => {} // it is one connection, whichever side begins
      for (const { ephemeral, nonce } of Object.values(session.secrets)) {
        this._ephemerals.push(ephemeral)
        this._nonces.push(nonce)
      }
    }
  }

  take (size) {
    return digest(size, this._name, this._count++)
  }

  ephemeral () {
    return this._ephemerals.shift() ?? this.take(32)
  }

  nonce () {
    return this._nonces.shift() ?? this.take(24)
  }
}

// Records the scenarios named on the command line, or all: one JSON object per line, with bytes in hex.
async function record (scenarios, entropy, { wire, version }) {
  const wanted = process.argv.slice(2)
  for (const { name, shows, comparison, packages, run } of scenarios) {
    if (wanted.length && !wanted.includes(name)) continue
    const session = new Session(name)
    entropy.begin(session)
    await run(session)
    const producedBy = Object.fromEntries(packages.map(name => [name, version(name)]))
    const header = { name, wire, shows, comparison, producedBy, secrets: session.secrets }
    const line = JSON.stringify({ ...header, entries: session.entries }, (key, value) =>
      value?.type === 'Buffer' ? Buffer.from(value.data).toString('hex') : value) // the secrets
    await new Promise(resolve => process.stdout.write(line + '\n', resolve))
  }
  process.exit(0)
}

module.exports = { Entropy, record, SIDES }
