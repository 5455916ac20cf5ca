'use strict'

// Prints messages of hole punching as hyperdht encodes and encrypts them, as JSON: the vectors of tests/core/dht.
// Usage: node record-holepunch.js > ../../core/dht/holepunch.json

const c = require('compact-encoding')
const sodium = require('sodium-universal')
const { holepunchPayload } = require('hyperdht/lib/messages')
const SecurePayload = require('hyperdht/lib/secure-payload')
const { NS } = require('hyperdht/lib/constants')

const handshakeHash = Buffer.alloc(64, 7)
const secret = Buffer.alloc(32)
sodium.crypto_generichash(secret, NS.PEER_HOLEPUNCH, handshakeHash)
const payload = new SecurePayload(secret)

const empty = { error: 0, firewall: 0, round: 0, connected: false, punching: false, addresses: null,
  remoteAddress: null, token: null, remoteToken: null }
const address = { host: '192.0.2.1', port: 49737 }
const messages = [
  empty,
  { ...empty, remoteAddress: address },
  { ...empty, firewall: 2, addresses: [address, { host: '192.0.2.2', port: 1 }], token: Buffer.alloc(32, 1) },
  { ...empty, firewall: 3, round: 1, punching: true, addresses: [{ host: '192.0.2.1', port: 0 }],
    token: Buffer.alloc(32, 2), remoteToken: Buffer.alloc(32, 3) },
  { ...empty, error: 3, round: 30 },
  { ...empty, firewall: 2, round: 2, connected: true, remoteToken: Buffer.alloc(32, 4) }
]

const hex = value => Buffer.isBuffer(value) ? value.toString('hex') : value
process.stdout.write(JSON.stringify({
  handshakeHash: hex(handshakeHash),
  messages: messages.map(message => ({
    message: Object.fromEntries(Object.entries(message).map(([name, value]) => [name, hex(value)])),
    plain: hex(c.encode(holepunchPayload, message)),
    sealed: hex(payload.encrypt(message))
  }))
}, null, 1) + '\n')
