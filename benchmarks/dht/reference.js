// One hyperdht process: node --expose-gc reference.js ROLE OPTIONS (__init__.py describes the protocol).
const path = require('path')
const readline = require('readline')
const { createRequire } = require('module')

const reference = createRequire(path.join(__dirname, '../../tests/interop/hyperswarm/package.json'))
const DHT = reference('hyperdht')
const testnet = reference('hyperdht/testnet')
const crypto = require('crypto')

const [role, text] = process.argv.slice(2)
const options = JSON.parse(text)
const HOST = '127.0.0.1'

const say = report => console.log(JSON.stringify(report))
const now = () => Number(process.hrtime.bigint()) / 1e9
const ignore = () => {}

function open (more) {
  return new DHT({ host: HOST, bootstrap: options.bootstrap.map(port => ({ host: HOST, port })), ...more })
}

async function lookup (dht) {
  const began = now()
  for (let left = options.count; left > 0; left--) await dht.lookup(crypto.randomBytes(32)).finished()
  return { seconds: now() - began }
}

async function dial (dht) {
  const times = []
  for (let left = options.count; left > 0; left--) {
    const began = now()
    const stream = dht.connect(Buffer.from(options.key, 'hex'))
    stream.on('error', ignore)
    await new Promise((resolve, reject) => stream.once('data', resolve).once('error', reject))
    times.push(now() - began)
    stream.destroy()
    await new Promise(resolve => stream.once('close', resolve))
  }
  return { times }
}

const clients = { lookup, dial }

async function main () {
  let dht
  const opened = {}
  if (role === 'network') {
    dht = (await testnet(options.size)).nodes[0]
  } else if (role === 'node') {
    dht = open({ ephemeral: false, firewalled: false })
    await dht.fullyBootstrapped()
  } else {
    dht = open({ firewalled: false })
    await dht.fullyBootstrapped()
  }
  if (role === 'server') {
    const server = dht.createServer(stream => { stream.on('error', ignore); stream.write(Buffer.from('x')) })
    await server.listen()
    opened.key = server.publicKey.toString('hex')
  }
  say({ port: dht.address().port, ...opened })
  const questions = readline.createInterface({ input: process.stdin })
  questions.on('line', async line => {
    if (line === 'run') return say(await clients[role](dht))
    if (line === 'cpu') {
      const { user, system } = process.cpuUsage()
      return say({ cpu: (user + system) / 1e6, nodes: dht.nodes.length ?? dht.toArray().length })
    }
    global.gc()
    say({ resident: process.memoryUsage().rss, nodes: dht.toArray().length })
  })
  questions.on('close', () => process.exit())
}

main()
