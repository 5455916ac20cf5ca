'use strict'

// An existing application of either generation, for the snippets of the documentation. It prints its drive's key and
// runs the snippet.
// Usage: node snippet.js hypercore9|hypercore11|hyperswarm SNIPPET STORAGE [BOOTSTRAP]. BOOTSTRAP is a host and a port,
// used in place of the public nodes of HyperDHT.

const { readFileSync } = require('fs')
const { createRequire } = require('module')
const { join } = require('path')

const [wire, snippet, storage, bootstrap] = process.argv.slice(2)
const folder = join(__dirname, '..', 'interop', wire)
const packages = createRequire(join(folder, 'package.json'))
const ours = { 'hyperdrive-peersockets': '../../javascript' } // not among the installed packages
const load = name => name in ours ? require(ours[name]) : packages(name)

const open = async () => {
  const drive = new (load('hyperdrive'))(new (load('corestore'))(storage))
  await drive.ready()
  return { drive }
}

const applications = {
  async hypercore9 () {
    const { LoopbackSwarm } = load('./loopback')
    const corestore = new (load('corestore'))(storage)
    await corestore.ready()
    const swarm = new LoopbackSwarm()
    const networker = new (load('@corestore/networker'))(corestore, { swarm })
    await networker.listen()
    const drive = load('hyperdrive')(corestore, null)
    await drive.promises.ready()
    return { networker, drive, port: await swarm.listen() }
  },
  hypercore11: open,
  async hyperswarm () {
    const nodes = load('hyperdht').BOOTSTRAP // the default nodes of every HyperDHT
    nodes.splice(0, nodes.length, bootstrap)
    return await open()
  }
}

applications[wire]().then(({ networker, drive, port }) => {
  const AsyncFunction = open.constructor
  const run = new AsyncFunction('require', 'networker', 'drive', readFileSync(snippet, 'utf8'))
  run(load, networker, drive).catch(error => { throw error })
  console.log(drive.key.toString('hex'), port ?? 0)
})
