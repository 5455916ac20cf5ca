'use strict'

// Sessions on the hypercore11 wire. Usage: node hypercore11.js [NAME...]

const { createRequire } = require('module')

const { Entropy, record } = require('./session')

const entropy = new Entropy()
const locked = createRequire(require.resolve('../../interop/hypercore11/package.json'))
makeRepeatable(locked('sodium-universal'))

const { MuxPeer } = require('./mux_peer')
const scenarios = [...require('./scenarios')('hypercore11', MuxPeer), ...require('./hyperdrives13')]

// This has to run before any other module takes these functions.
function makeRepeatable (sodium) {
  sodium.randombytes_buf = buffer => entropy.take(buffer.length).copy(buffer)
  sodium.crypto_sign_keypair = (publicKey, secretKey) => {
    sodium.crypto_sign_seed_keypair(publicKey, secretKey, entropy.ephemeral())
  }
  sodium.crypto_secretstream_xchacha20poly1305_init_push = (state, header, key) => {
    entropy.nonce().copy(header) // libsodium draws it at random, and then does the same as init_pull
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
  }
  Math.random = () => entropy.take(4).readUInt32LE() / 2 ** 32
}

record(scenarios, entropy, { wire: 'hypercore11', version: name => locked(`${name}/package.json`).version })
