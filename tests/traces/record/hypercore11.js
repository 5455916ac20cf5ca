'use strict'

// Sessions on the hypercore11 wire. Usage: node hypercore11.js [NAME...]

const { Entropy, record } = require('./session')

const entropy = new Entropy()
patchSodium(require('module').createRequire(require.resolve('../../interop/hypercore11/package.json'))('sodium-universal'))

const scenarios = require('./scenarios')
const { locked, MuxPeer } = require('./mux_peer')

// Before anything else has a hold of these functions.
function patchSodium (sodium) {
  const seeded = sodium.crypto_sign_seed_keypair
  const initPull = sodium.crypto_secretstream_xchacha20poly1305_init_pull
  sodium.randombytes_buf = buffer => entropy.fill(buffer)
  sodium.crypto_sign_keypair = (publicKey, secretKey) => {
    const seed = Buffer.alloc(32)
    entropy.fillEphemeral(seed)
    seeded(publicKey, secretKey, seed)
  }
  sodium.crypto_secretstream_xchacha20poly1305_init_push = (state, header, key) => {
    entropy.fillNonce(header) // libsodium draws it, and then does what init_pull does
    initPull(state, header, key)
  }
}

const packages = Object.fromEntries(
  ['@hyperswarm/secret-stream', 'hypercore', 'protomux', 'sodium-native'].map(name => [name, locked(`${name}/package.json`).version]))

record(scenarios('hypercore11', MuxPeer), entropy, { wire: 'hypercore11', packages })
