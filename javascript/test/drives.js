'use strict'

// Real hyperdrives that replicate, from the packages of the interop tests.

const { mkdtemp, rm } = require('fs/promises')
const { createRequire } = require('module')
const { tmpdir } = require('os')
const { join } = require('path')

const load = createRequire(join(__dirname, '../../tests/interop/hypercore11/package.json'))
const Corestore = load('corestore')
const Hyperdrive = load('hyperdrive')
const SecretStream = load('@hyperswarm/secret-stream')

// Returns a drive in a storage of its own; without a key, a new drive. It is removed after the test.
async function openDrive (t, key) {
  const storage = await mkdtemp(join(tmpdir(), 'peersockets-'))
  const drive = new Hyperdrive(new Corestore(storage), key)
  await drive.ready()
  t.after(async () => {
    await drive.close()
    await rm(storage, { recursive: true })
  })
  return drive
}

// Connects two drives, each under a new key pair by default. Returns a function that ends the connection.
function connect (t, a, b, keyPairs = [a, b].map(drive => (drive.keyPair ??= SecretStream.keyPair()))) {
  const [left, right] = keyPairs.map((keyPair, number) => new SecretStream(!number, null, { keyPair }))
  left.rawStream.pipe(right.rawStream).pipe(left.rawStream)
  for (const [drive, stream] of [[a, left], [b, right]]) {
    stream.on('error', () => {})
    drive.corestore.replicate(stream)
  }
  const end = () => { for (const stream of [left, right]) stream.destroy() }
  t.after(end)
  return end
}

// Resolves to the next event of a type.
const next = (target, type) => new Promise(resolve => target.addEventListener(type, resolve, { once: true }))

module.exports = { openDrive, connect, next, keyPair: SecretStream.keyPair }
