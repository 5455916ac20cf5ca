'use strict'

// Sessions on the hypercore9 wire. Usage: node hypercore9.js [NAME...]

const { createRequire } = require('module')

const { Entropy, record } = require('./session')

class FixedDate extends Date {
  constructor (...given) {
    super(...(given.length ? given : [FixedDate.now()]))
  }

  static now () {
    return 1_000_000_000_000
  }
}

const entropy = new Entropy()
const locked = createRequire(require.resolve('../../interop/hypercore9/package.json'))
makeRepeatable(locked('sodium-universal'))

const { StreamPeer } = require('./stream_peer')
const scenarios = [...require('./scenarios')('hypercore9', StreamPeer), ...require('./hyperdrives10')]

// This has to run before any other module takes these functions.
function makeRepeatable (sodium) {
  sodium.randombytes_buf = buffer => (buffer.length === 24 ? entropy.nonce() : entropy.take(buffer.length)).copy(buffer)
  sodium.crypto_kx_keypair = (publicKey, secretKey) => {
    entropy.ephemeral().copy(secretKey)
    sodium.crypto_scalarmult_base(publicKey, secretKey)
  }
  sodium.crypto_sign_keypair = (publicKey, secretKey) => {
    sodium.crypto_sign_seed_keypair(publicKey, secretKey, entropy.take(32))
  }
  global.Date = FixedDate // hyperdrive 10 stores the time at which a file was written
  Math.random = () => entropy.take(4).readUInt32LE() / 2 ** 32
}

record(scenarios, entropy, { wire: 'hypercore9', version: name => locked(`${name}/package.json`).version })
