'use strict'

// Prints datagrams that real HyperDHT nodes send each other, as JSON: the vectors of tests/core/dht. It keeps a few of
// each kind of message. Each value is printed with the fields that hyperdht's own codec reads in it.
// Usage: node record.js > ../../core/dht/datagrams.json

const Socket = require('udx-native/lib/socket')
const c = require('compact-encoding')
const DHT = require('hyperdht')
const createTestnet = require('hyperdht/testnet')
const m = require('hyperdht/lib/messages')
const NoiseHandshake = require('noise-handshake')
const curve = require('noise-curve-ed')
const { NS } = require('hyperdht/lib/constants')

const KEPT = 4 // of each kind
const HEAD = 10 // bytes of a message before its fields

const commands = ['PEER_HANDSHAKE', 'PEER_HOLEPUNCH', 'FIND_PEER', 'LOOKUP', 'ANNOUNCE', 'UNANNOUNCE', 'MUTABLE_PUT',
  'MUTABLE_GET', 'IMMUTABLE_PUT', 'IMMUTABLE_GET']
const internal = ['PING', 'PING_NAT', 'FIND_NODE', 'DOWN_HINT', 'DELAYED_PING']
const codecs = {
  PEER_HANDSHAKE: [m.handshake, m.handshake],
  PEER_HOLEPUNCH: [m.holepunch, m.holepunch],
  FIND_PEER: [null, m.peer],
  LOOKUP: [null, m.lookupRawReply],
  ANNOUNCE: [m.announce, null],
  UNANNOUNCE: [m.announce, null],
  MUTABLE_PUT: [m.mutablePutRequest, null],
  MUTABLE_GET: [c.uint, m.mutableGetResponse]
}

const asked = new Map() // names of commands, by asker and transaction id
const counts = new Map()
const datagrams = []

const plain = value => JSON.parse(JSON.stringify(value, (key, field) =>
  field?.type === 'Buffer' ? Buffer.from(field.data).toString('hex') : field))

function record (source, buffer, port) {
  if (buffer[0] !== 0x03 && buffer[0] !== 0x13) return
  const request = buffer[0] === 0x03
  const state = { buffer, start: 1, end: buffer.length }
  const flags = c.uint.decode(state)
  const tid = c.uint16.decode(state)
  state.start = HEAD + (flags & 1 ? 32 : 0) + (flags & 2 ? 32 : 0)
  let name
  if (request) {
    const command = c.uint.decode(state)
    name = (flags & 4 ? internal : commands)[command]
    asked.set(`${source.port}:${tid}`, name)
    if (flags & 8) state.start += 32
  } else {
    name = asked.get(`${port}:${tid}`) ?? 'RELAYED'
    if (flags & 4) {
      const count = c.uint.decode(state)
      state.start += 6 * count
    }
    if (flags & 8) c.uint.decode(state)
  }
  const kind = `${name} ${request ? 'request' : 'response'} ${flags}`
  const count = counts.get(kind) ?? 0
  if (count >= KEPT) return
  counts.set(kind, count + 1)
  const value = flags & 16 ? c.buffer.decode(state) : null
  const codec = value && codecs[name]?.[request ? 0 : 1]
  const decoded = codec ? plain(c.decode(codec, value)) : null
  datagrams.push({ kind, source, datagram: buffer.toString('hex'), value: value && value.toString('hex'), decoded })
}

const trySend = Socket.prototype.trySend
Socket.prototype.trySend = function (buffer, port, host, ttl) {
  record({ host: '127.0.0.1', port: this.address().port }, Buffer.from(buffer), port)
  return trySend.call(this, buffer, port, host, ttl)
}

// Makes a handshake with ephemeral keys from fixed seeds.
function handshake () {
  const seeds = [1, 2, 3, 4].map(byte => Buffer.alloc(32, byte))
  const side = (initiator, seed, ephemeral, remote) => {
    const noise = new NoiseHandshake('IK', initiator, curve.generateKeyPair(seed), { curve })
    noise.initialise(NS.PEER_HANDSHAKE, remote)
    noise.e = curve.generateKeyPair(ephemeral)
    noise.curve = { ...curve, generateKeyPair: () => noise.e }
    return noise
  }
  const server = side(false, seeds[1], seeds[3])
  const client = side(true, seeds[0], seeds[2], server.s.publicKey)
  const payloads = [
    { error: 0, firewall: 1, holepunch: null, addresses4: [{ host: '10.1.2.3', port: 4000 }], addresses6: [],
      udx: { reusableSocket: false, id: 123456, seq: 0 }, secretStream: {}, relayThrough: null, relayAddresses: null },
    { error: 0, firewall: 0,
      holepunch: { id: 7, relays: [{ relayAddress: { host: '10.1.2.4', port: 1 }, peerAddress: { host: '10.1.2.5', port: 65535 } }] },
      addresses4: [], addresses6: [{ host: '::1', port: 5 }], udx: { reusableSocket: true, id: 4294967295, seq: 0 },
      secretStream: {}, relayThrough: { publicKey: Buffer.alloc(32, 9), token: Buffer.alloc(32, 8) },
      relayAddresses: [{ host: '10.1.2.6', port: 49737 }] }
  ].map(payload => c.encode(m.noisePayload, payload))
  const first = Buffer.from(client.send(payloads[0]))
  server.recv(Buffer.from(first)) // a copy, since the remote's key is wiped in place at the end
  const second = Buffer.from(server.send(payloads[1]))
  client.recv(Buffer.from(second))
  return plain({
    seeds, payloads, messages: [first, second], hash: Buffer.from(client.hash), tx: Buffer.from(client.tx), rx: Buffer.from(client.rx)
  })
}

async function main () {
  const testnet = await createTestnet(8)
  const options = { bootstrap: testnet.bootstrap, host: '127.0.0.1' }
  const [a, b] = [new DHT({ ...options, firewalled: false }), new DHT(options)]
  const topic = Buffer.alloc(32, 5)
  const server = a.createServer(connection => connection.on('error', () => {}).end())
  await server.listen()
  const keyPair = a.defaultKeyPair
  await a.announce(topic, keyPair, server.relayAddresses).finished()
  await b.lookup(topic).finished()
  const connection = b.connect(server.publicKey)
  await new Promise(resolve => connection.on('open', resolve).on('error', resolve))
  connection.destroy()
  const { hash } = await b.immutablePut(Buffer.from('a value'))
  await a.immutableGet(hash)
  await b.mutablePut(b.defaultKeyPair, Buffer.from('a newer value'), { seq: 3 })
  await a.mutableGet(b.defaultKeyPair.publicKey)
  await b.mutablePut(b.defaultKeyPair, Buffer.from('an old value'), { seq: 1 }).catch(() => {})
  await b.delayedPing(testnet.nodes[0].address(), 50)
  await a.unannounce(topic, keyPair)
  await server.close()
  process.stdout.write(JSON.stringify({ datagrams, handshake: handshake() }, null, 1) + '\n')
  process.exit()
}

main()
