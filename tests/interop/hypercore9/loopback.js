'use strict'

const net = require('net')
const { EventEmitter, once } = require('events')
const { Duplex } = require('stream')

const HOST = process.env.PEER_HOST ?? '127.0.0.1'
// Half open, so that unread and unsent bytes survive the end of one side.
const SOCKET_OPTIONS = { allowHalfOpen: true, noDelay: true }

// A TCP socket that hides its address: @corestore/networker ignores what comes from 127.0.0.1.
class Wire extends Duplex {
  constructor (socket, faults) {
    super()
    this._socket = socket
    this._faults = faults
    socket.pause() // until the first _read
    socket.on('data', chunk => { if (!this.push(chunk)) socket.pause() })
    socket.on('end', () => this.push(null))
    socket.on('error', error => this.destroy(error))
    // After a clean end the reader may still be busy with earlier bytes.
    socket.on('close', () => { if (!socket.readableEnded) this.destroy() })
  }

  obeyFaults () {
    if (this._faults.deaf) this._socket.pause()
    else this._socket.resume()
  }

  _read () {
    this.obeyFaults()
  }

  _write (chunk, encoding, done) {
    if (this._faults.silent || this._socket.write(chunk)) done()
    else this._socket.once('drain', done)
  }

  _final (done) {
    this._socket.end(done)
  }

  _destroy (error, done) {
    this._socket.destroy()
    done(error)
  }
}

// The part of hyperswarm 2 that @corestore/networker needs. Connections are made by hand and not found.
class LoopbackSwarm extends EventEmitter {
  constructor () {
    super()
    this.deduplicating = false
    this._servers = []
    this._wires = new Set()
    this._faults = { deaf: false, silent: false }
    this._survivors = new Map() // by the remote's public key
  }

  async listen (port = 0) {
    const server = net.createServer(SOCKET_OPTIONS, socket => this._add(socket, false))
    await once(server.listen(port, HOST), 'listening')
    this._servers.push(server)
    return server.address().port
  }

  async connect (port, host = HOST) {
    const socket = net.connect({ ...SOCKET_OPTIONS, port, host, localAddress: HOST })
    await once(socket, 'connect')
    this._add(socket, true)
  }

  // Ends its connections, and accepts no new ones.
  close () {
    for (const server of this._servers) server.close()
    for (const wire of this._wires) wire.destroy()
  }

  setDeaf (deaf) {
    this._faults.deaf = deaf
    for (const wire of this._wires) wire.obeyFaults()
  }

  silence () {
    this._faults.silent = true
  }

  _add (socket, client) {
    const wire = new Wire(socket, this._faults)
    const connection = { client, wire, deduplicate: (local, remote) => this._deduplicate(connection, local, remote) }
    this._wires.add(wire)
    wire.on('close', () => this._wires.delete(wire))
    this.emit('connection', wire, connection)
  }

  // The rule of hyperswarm 2.15 (lib/queue.js): the side with the smaller key dials the survivor.
  _deduplicate (connection, local, remote) {
    if (!this.deduplicating) return false
    const order = Buffer.compare(local, remote)
    if (order === 0) {
      connection.wire.destroy(new Error('Connected to self'))
      return true
    }
    const id = remote.toString('hex')
    const other = this._survivors.get(id)
    const survives = !other || connection.client === (order < 0)
    if (survives) {
      this._survivors.set(id, connection)
      connection.wire.on('close', () => { if (this._survivors.get(id) === connection) this._survivors.delete(id) })
    }
    const duplicate = survives ? other : connection
    // As in hyperswarm, only the side that dialled a duplicate ends it. The other side waits.
    if (duplicate?.client) duplicate.wire.end()
    return !survives
  }

  join () {}
  leave (discoveryKey, done) { done(null) }
  flush (done) { done(null) }
  destroy (done) { done(null) }
}

module.exports = { HOST, LoopbackSwarm }
