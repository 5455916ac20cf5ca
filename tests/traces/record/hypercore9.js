'use strict'

// Sessions on the hypercore9 wire. Usage: node hypercore9.js [NAME...]

const { Entropy, record } = require('./session')

const entropy = new Entropy()
patchSodium(require('module').createRequire(require.resolve('../../interop/hypercore9/package.json'))('sodium-universal'))

const scenarios = require('./scenarios')
const { locked, StreamPeer } = require('./stream_peer')

// Before anything else has a hold of these functions.
function patchSodium (sodium) {
  sodium.randombytes_buf = buffer => (buffer.length === 24 ? entropy.fillNonce(buffer) : entropy.fill(buffer))
  sodium.crypto_kx_keypair = (publicKey, secretKey) => {
    entropy.fillEphemeral(secretKey)
    sodium.crypto_scalarmult_base(publicKey, secretKey)
  }
}

const packages = Object.fromEntries(
  ['hypercore-protocol', 'simple-hypercore-protocol', 'noise-protocol', 'sodium-native'].map(name => [name, locked(`${name}/package.json`).version]))

record(scenarios('hypercore9', StreamPeer), entropy, { wire: 'hypercore9', packages })
