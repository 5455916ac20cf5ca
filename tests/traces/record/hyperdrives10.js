'use strict'

// Sessions between complete peers of the first generation.

const { Hyperdrive10Peer } = require('./hyperdrive10_peer')

const text = string => Buffer.from(string)
const beaker = (drive, topic) => `webapp/${drive.discoveryKey.toString('hex')}/${topic}`

const scenarios = []
const add = (name, shows, act, comparison = 'messages') => scenarios.push({
  name: `hypercore9-hyperdrive-${name}`,
  shows: `${shows} Both are complete peers: hyperdrive 10 and npm peersockets.`,
  comparison, // our side cannot send the messages about data
  packages: Hyperdrive10Peer.packages,
  async run (session) {
    const peers = [new Hyperdrive10Peer(session, 'initiator'), new Hyperdrive10Peer(session, 'responder')]
    session.pace = 2
    for (const peer of peers) await peer.start()
    const settle = () => session.settle()
    const connect = async () => {
      for (const peer of peers) peer.connect()
      await settle()
    }
    await act({ a: peers[0], b: peers[1], settle, connect })
    await settle()
  }
})

add('chat', 'A reader and the writer of a drive chat.', async ({ a, b, settle, connect }) => {
  const drive = await b.drive()
  await drive.promises.writeFile('/index.html', 'hello')
  await a.drive(drive.key)
  for (const peer of [a, b]) peer.join('chat')
  await connect()
  a.send('chat', text('hello'))
  await settle()
  b.send('chat', text('hello yourself'))
  await settle()
  a.end()
})

add('beaker', "Topics under Beaker's names, and a file that is read in between.", async ({ a, b, settle, connect }) => {
  const drive = await a.drive()
  await drive.promises.writeFile('/index.html', 'hello')
  const copy = await b.drive(drive.key)
  for (const peer of [a, b]) for (const topic of ['chat', 'game']) peer.join(beaker(drive, topic))
  await connect()
  b.send(beaker(drive, 'chat'), text('may I read?'))
  await settle()
  await copy.promises.readFile('/index.html')
  await settle()
  a.send(beaker(drive, 'game'), text('you have read'))
  await settle()
  b.kill()
})

add('topics', 'Topics are joined and left while connected.', async ({ a, b, settle, connect }) => {
  const drive = await b.drive()
  await a.drive(drive.key)
  for (const peer of [a, b]) peer.join('a')
  await connect()
  a.send('a', text('one'))
  await settle()
  for (const peer of [a, b]) peer.join('b')
  a.send('b', text('two'))
  await settle()
  b.send('a', text('three'))
  await settle()
  b.leave('b')
  a.send('b', text('not heard'))
  a.send('a', text('four'))
  await settle()
})

add('stranger', 'The initiator has another drive: nothing is shared.', async ({ a, b, settle, connect }) => {
  await a.drive()
  await b.drive()
  await connect()
}, 'bytes')

add('late', 'The reader opens the drive on a connection that is there.', async ({ a, b, settle, connect }) => {
  const drive = await b.drive()
  await drive.promises.writeFile('/index.html', 'hello')
  for (const peer of [a, b]) peer.join('chat')
  await connect()
  await a.drive(drive.key)
  await settle()
  a.send('chat', text('here I am'))
})

add('two-drives', 'Each side has written a drive and reads the other one.', async ({ a, b, settle, connect }) => {
  const drives = [await a.drive(), await b.drive()]
  for (const drive of drives) await drive.promises.writeFile('/name', 'a drive')
  await a.drive(drives[1].key)
  await b.drive(drives[0].key)
  for (const peer of [a, b]) for (const drive of drives) peer.join(beaker(drive, 'chat'))
  await connect()
  for (const drive of drives) {
    a.send(beaker(drive, 'chat'), text('hello'))
    b.send(beaker(drive, 'chat'), text('hello'))
    await settle()
  }
})

module.exports = scenarios
