'use strict'

// Answers requests on the topic `files` of a drive, and asks every peer that joins for its greeting.
// Needs the packages hyperdrive, corestore, @hyperswarm/secret-stream and, from javascript/, hyperdrive-peersockets.
// Usage: node requests.js STORAGE PORT; it prints the drive's key.
// Python nodes connect to it with node.connect_tcp(host, port, wire="hypercore11").

const net = require('net')
const SecretStream = require('@hyperswarm/secret-stream')
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')
const peersockets = require('hyperdrive-peersockets')

const FILES = new Map([['greeting', 'hello from JavaScript']])

async function answer (data) {
  const file = FILES.get(data.toString())
  if (file === undefined) throw new peersockets.RequestError('no such file')
  return Buffer.from(file)
}

async function main (storage, port) {
  const drive = new Hyperdrive(new Corestore(storage))
  await drive.ready()
  const sockets = peersockets(drive)
  const files = sockets.requests('files', answer)

  sockets.watch().addEventListener('join', async ({ peerId }) => {
    try {
      const reply = await files.request(peerId, Buffer.from('greeting'), { signal: AbortSignal.timeout(10000) })
      console.log('peer', peerId, 'has', reply.toString())
    } catch (error) {
      console.log('peer', peerId, 'has no greeting:', error.message)
    }
  })

  const keyPair = await drive.corestore.createKeyPair('peersockets')
  const server = net.createServer(socket => {
    const stream = new SecretStream(false, socket, { keyPair })
    stream.on('error', error => console.error(error.message))
    drive.corestore.replicate(stream)
  })
  server.listen(Number(port), '127.0.0.1', () => console.log('drive', drive.key.toString('hex')))
}

main(...process.argv.slice(2))
