'use strict'

// An application that exists, of either generation, for the snippets of the documentation.
// Usage: node snippet.js hypercore9|hypercore11 SNIPPET STORAGE; it prints its drive's key and runs the snippet.

const { readFileSync } = require('fs')
const { createRequire } = require('module')
const { join } = require('path')

const [wire, snippet, storage] = process.argv.slice(2)
const folder = join(__dirname, '..', 'interop', wire)
const load = createRequire(join(folder, 'package.json'))

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
  async hypercore11 () {
    const drive = new (load('hyperdrive'))(new (load('corestore'))(storage))
    await drive.ready()
    return { drive }
  }
}

applications[wire]().then(({ networker, drive, port }) => {
  const run = new Function('require', 'networker', 'drive', readFileSync(snippet, 'utf8'))
  run(load, networker, drive)
  console.log(drive.key.toString('hex'), port ?? 0)
})
