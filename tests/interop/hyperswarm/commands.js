'use strict'

// The commands of a real peer (../hypercore11/peer.js) that need Hyperswarm or HyperDHT: a network of real DHT nodes on
// loopback, a swarm that replicates the peer's drives, and a DHT node without a swarm.

const HOST = process.env.PEER_HOST ?? '127.0.0.1'

const hex = buffer => buffer.toString('hex')
const unhex = text => Buffer.from(text, 'hex')
const ended = stream => stream.on('error', () => {})

// `load` requires a package, `adopt` takes a secured stream, `identity` returns the peer's key pair.
module.exports = (load, emit, { adopt, identity }) => {
  const nodes = [] // of the testnet
  const discoveries = new Map() // by topic
  const servers = []
  const relays = []
  let swarm, dht, release // of the delayed messages

  // A bootstrap node is a port on this host, or a host and a port.
  const local = bootstrap => {
    if (!bootstrap) throw new Error('a node needs a bootstrap list of its own, or it begins with the public ones')
    return bootstrap.map(node => typeof node === 'number' ? { host: HOST, port: node } : node)
  }

  // `firewalled` is false for a node that everybody can reach. If undefined, the package's default applies.
  const options = ({ bootstrap, ...given }) => ({ bootstrap: local(bootstrap), host: HOST, ...given })

  return {
    async testnet ({ size, bootstrap = [] }) {
      const testnet = await load('hyperdht/testnet')(size, { host: HOST, bootstrap: local(bootstrap) })
      nodes.push(...testnet.nodes)
      return { bootstrap: [testnet.nodes[0].address().port], ports: testnet.nodes.map(node => node.address().port) }
    },
    async stopNode ({ index }) { await nodes[index].destroy({ force: true }) },

    async openSwarm ({ allow, maxPeers, ...given }) {
      const Hyperswarm = load('hyperswarm')
      const node = new (load('hyperdht'))(options(given))
      const firewall = allow && (key => !allow.includes(hex(key)))
      swarm = new Hyperswarm({ keyPair: identity(), dht: node, firewall, maxPeers })
      swarm.on('connection', adopt)
      return { publicKey: hex(swarm.keyPair.publicKey) }
    },
    async joinSwarm ({ topic, flush, server, client }) {
      const discovery = swarm.join(unhex(topic), { server, client })
      discoveries.set(topic, discovery)
      if (flush) await discovery.flushed()
    },
    async leaveSwarm ({ topic }) { await discoveries.get(topic).destroy() },
    async closeSwarm () { await swarm.destroy() },
    swarmStats: () => ({ connections: swarm.connections.size, peers: swarm.peers.size, connecting: swarm.connecting }),

    // A node without a swarm.
    async openDht (given) {
      dht = new (load('hyperdht'))({ keyPair: identity(), ...options(given) })
      await dht.fullyBootstrapped()
      return { port: dht.address().port, nodes: dht.toArray().length, persistent: !dht.ephemeral }
    },
    async closeDht () { await dht.destroy() },
    // `relay` is the key of a blind relay. With `punch` false, the connection can only use the relay. With `replicate`,
    // the peer's drives are open to the remote.
    async dhtListen ({ echo, replicate, relay, punch = true }) {
      const closed = punch ? {} : { holepunch: false, shareLocalAddress: false }
      const server = dht.createServer({ ...closed, relayThrough: relay ? unhex(relay) : null }, stream => {
        ended(stream)
        if (replicate) adopt(stream)
        emit('dht-connection', { publicKey: hex(stream.remotePublicKey), port: stream.rawStream.remotePort })
        if (echo) stream.pipe(stream)
      })
      servers.push(server)
      await server.listen()
      return { publicKey: hex(server.publicKey), relays: server.relayAddresses.map(({ port }) => port) }
    },
    async dhtUnlisten () { await servers.pop().close() },
    // A blind relay on a node of the testnet, as anybody may run one for others.
    async dhtRelay ({ node }) {
      const dht = nodes[node]
      const blindRelay = new (load('blind-relay').Server)({
        createStream: options => dht.createRawStream({ ...options, framed: true })
      })
      const server = dht.createServer(stream => {
        ended(stream)
        ended(blindRelay.accept(stream, { id: stream.remotePublicKey }))
      })
      servers.push(server)
      relays.push(blindRelay)
      await server.listen()
      return { publicKey: hex(server.publicKey) }
    },
    dhtRelayStats () {
      const { sessions, pairings, streams } = relays[0].stats
      return { sessions: sessions.active, matched: pairings.matched, pending: pairings.pending, streams: streams.active }
    },
    async dhtConnect ({ publicKey, message, close, replicate, relay, punch = true }) {
      const began = performance.now()
      const closed = release
        ? { fastOpen: false } // its first probe arrives here, where no router looks at its time to live
        : punch ? {} : { holepunch: () => false, fastOpen: false, localConnection: false }
      const stream = dht.connect(unhex(publicKey), { ...closed, relayThrough: relay ? unhex(relay) : null })
      if (close) stream.on('error', () => {})
      await new Promise((resolve, reject) => stream.on('open', resolve).on('error', reject))
      const opened = performance.now() - began
      if (replicate) adopt(stream)
      if (close) await new Promise(resolve => stream.on('close', resolve).destroy())
      if (!message) return { opened }
      const echoed = new Promise((resolve, reject) => stream.once('data', resolve).once('error', reject))
      stream.write(Buffer.from(message))
      const answer = await echoed
      stream.end()
      return { opened, answer: answer.toString() }
    },
    async dhtAnnounce ({ topic }) {
      await dht.announce(unhex(topic), dht.defaultKeyPair, servers[0]?.relayAddresses ?? []).finished()
    },
    async dhtUnannounce ({ topic }) { await dht.unannounce(unhex(topic), dht.defaultKeyPair) },
    async dhtLookup ({ topic }) {
      const found = new Set()
      for await (const { peers } of dht.lookup(unhex(topic))) for (const peer of peers) found.add(hex(peer.publicKey))
      return { publicKeys: [...found] }
    },
    async dhtPut ({ value, seq }) {
      if (seq === undefined) return { hash: hex((await dht.immutablePut(Buffer.from(value))).hash) }
      const { publicKey } = await dht.mutablePut(dht.defaultKeyPair, Buffer.from(value), { seq })
      return { publicKey: hex(publicKey) }
    },
    async dhtGet ({ hash, publicKey }) {
      const found = hash ? await dht.immutableGet(unhex(hash)) : await dht.mutableGet(unhex(publicKey))
      return found ? { value: found.value.toString(), seq: found.seq ?? null } : {}
    },
    // Delays the messages of hole punching until `dhtPunch`, like a slow network. Must be called before `dhtConnect`.
    dhtHoldPunching () {
      const released = new Promise(resolve => { release = resolve })
      const send = dht._router.peerHolepunch
      dht._router.peerHolepunch = async function (...message) {
        await released
        return send.apply(this, message)
      }
    },
    dhtPunch () { release() },
    dhtNodes: () => ({ ports: dht.toArray().map(({ port }) => port) }),

    async stop () {
      await swarm?.destroy({ force: true })
      await Promise.all([dht, ...nodes].map(node => node?.destroy({ force: true })))
    }
  }
}
