'use strict'

// Handshakes of HyperDHT, made by hyperdht's own code. Prints one per line, as JSON.
// Usage: node hyperdht.js

const { createRequire } = require('module')

const locked = createRequire(require.resolve('../../interop/hyperswarm/package.json'))
const sodium = locked('sodium-universal')

let ephemeral // the seed of the next ephemeral key pair
sodium.crypto_sign_keypair = (publicKey, secretKey) => {
  sodium.crypto_sign_seed_keypair(publicKey, secretKey, ephemeral)
}

const c = locked('compact-encoding')
const NoiseWrap = locked('hyperdht/lib/noise-wrap')
const m = locked('hyperdht/lib/messages')
const { NS, FIREWALL } = locked('hyperdht/lib/constants')

const [CLIENT, RELAY, SECOND_RELAY, SERVER] = [1, 2, 3, 4].map(n => ({ host: `10.0.0.${n}`, port: 1000 * n }))
const OPEN = { firewall: FIREWALL.OPEN, addresses4: [CLIENT] }
const SAID = { error: 0, firewall: FIREWALL.UNKNOWN, holepunch: null, addresses4: [], addresses6: [],
  udx: { reusableSocket: true, id: 123456, seq: 0 }, secretStream: {}, relayThrough: null, relayAddresses: null }
const RELAYS = { relayAddresses: [RELAY, SECOND_RELAY] }
const PUNCH = { holepunch: { id: 7, relays: [{ relayAddress: RELAY, peerAddress: SERVER }] } }

// The bytes that each side sends, and the modes and addresses of the legs from the dialler to the listener and back.
const through = [[0], [2, CLIENT], [1, CLIENT], [4, SERVER]]
const scenarios = {
  open: ['both can be reached by everybody', OPEN, { ...OPEN, addresses4: [SERVER], ...RELAYS }, through],
  relayed: ['nobody knows how they can be reached', {}, RELAYS, through],
  direct: ['the dialler knows the listener\'s address', OPEN, RELAYS, [[0], [4]]],
  'two-relays': ['the listener is found through a second relay', {}, RELAYS,
    [[0, null, SECOND_RELAY], [2, CLIENT], [3, CLIENT, RELAY], [1, CLIENT], [4, SERVER]]],
  punched: ['the listener offers hole punching', {}, { firewall: FIREWALL.CONSISTENT, ...PUNCH, ...RELAYS }, through],
  declined: ['the listener wants to be asked later', {}, { error: 3, udx: null, secretStream: null }, through]
}

const repeated = byte => Buffer.alloc(32, byte)
const keyPair = seed => {
  const pair = { publicKey: Buffer.alloc(32), secretKey: Buffer.alloc(64) }
  sodium.crypto_sign_seed_keypair(pair.publicKey, pair.secretKey, seed)
  return pair
}

function play (number, [shows, asks, answers, legs]) {
  const secrets = {
    initiator: { seed: repeated(number), ephemeral: repeated(number + 50) },
    responder: { seed: repeated(number + 100), ephemeral: repeated(number + 150) }
  }
  const responder = new NoiseWrap(keyPair(secrets.responder.seed))
  const initiator = new NoiseWrap(keyPair(secrets.initiator.seed), responder.keyPair.publicKey)
  const payloads = [asks, answers].map(said => ({ ...SAID, ...said }))
  ephemeral = secrets.initiator.ephemeral
  const first = Buffer.from(initiator.send(payloads[0]))
  responder.recv(Buffer.from(first)) // a copy, since noise-handshake wipes bytes that it has used
  ephemeral = secrets.responder.ephemeral
  const second = Buffer.from(responder.send(payloads[1]))
  initiator.recv(Buffer.from(second))
  const { hash, tx, rx } = initiator.final()
  return {
    shows,
    secrets,
    prologue: NS.PEER_HANDSHAKE,
    payloads: payloads.map(payload => c.encode(m.noisePayload, payload)),
    messages: [first, second],
    legs: legs.map(([mode, peerAddress = null, relayAddress = null]) => {
      const noise = [0, 2, 3].includes(mode) ? first : second
      return c.encode(m.handshake, { mode, noise, peerAddress, relayAddress })
    }),
    handshakeHash: hash,
    keys: { initiator: tx, responder: rx }
  }
}

const producedBy = Object.fromEntries(['hyperdht', 'noise-handshake', 'noise-curve-ed', 'sodium-native']
  .map(name => [name, locked(`${name}/package.json`).version]))
Object.entries(scenarios).forEach(([name, scenario], number) => {
  const handshake = { name: `hyperdht-${name}`, producedBy, ...play(number + 1, scenario) }
  console.log(JSON.stringify(handshake, (_, value) => value?.type === 'Buffer' ? { hex: Buffer.from(value.data).toString('hex') } : value))
})
