'use strict'

// The nodes of a DHT, one at each given address: node dht.js BOOTSTRAP ADDRESS... BOOTSTRAP is the address of an
// existing node, or - for none. Prints {"event":"ready"}, and ends when its input ends.

const { createRequire } = require('module')
const { join } = require('path')

const HyperDHT = createRequire(join(__dirname, '../interop/hyperswarm/package.json'))('hyperdht')
const { emit, serve } = require('../interop/hypercore9/lines')

const PORT = 49737

async function main ([first, ...hosts]) {
  const bootstrap = first === '-' ? [] : [{ host: first, port: PORT }]
  for (const host of hosts) {
    const options = { host, port: PORT, anyPort: false, ephemeral: false, firewalled: false, bootstrap: [...bootstrap] }
    const node = bootstrap.length ? new HyperDHT(options) : HyperDHT.bootstrapper(PORT, host, options)
    await node.fullyBootstrapped()
    if (!bootstrap.length) bootstrap.push({ host, port: PORT })
  }
  emit('ready')
}

serve({})
main(process.argv.slice(2))
