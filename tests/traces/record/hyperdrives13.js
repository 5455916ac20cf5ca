'use strict'

// Sessions between complete peers of the second generation.

const { Hyperdrive13Peer } = require('./hyperdrive13_peer')

const text = string => Buffer.from(string)

const scenarios = []
const add = (name, shows, act, comparison = 'messages') => scenarios.push({
  name: `hypercore11-hyperdrive-${name}`,
  shows: `${shows} Both are complete peers: hyperdrive 13.`,
  comparison,
  packages: Hyperdrive13Peer.packages,
  async run (session) {
    const peers = [new Hyperdrive13Peer(session, 'initiator'), new Hyperdrive13Peer(session, 'responder')]
    session.pace = 25
    for (const peer of peers) await peer.start()
    const settle = () => session.settle()
    const connect = async () => {
      for (const peer of peers) peer.connect()
      await settle()
    }
    await act({ session, a: peers[0], b: peers[1], settle, connect })
    await settle()
    session.finish()
    for (const peer of peers) await peer.stop()
  }
})

add('chat', 'A reader and the writer of a drive chat.', async ({ a, b, settle, connect }) => {
  const drive = await b.drive()
  await drive.put('/index.html', text('hello'))
  const copy = await a.drive(drive.key)
  a.join(copy, 'chat')
  b.join(drive, 'chat')
  await connect()
  a.send(copy, 'chat', text('hello'))
  await settle()
  b.send(drive, 'chat', text('hello yourself'))
  await settle()
  a.send(copy, 'chat', text('bye'))
  await settle()
  a.end()
})

add('empty', 'Nothing has been written yet.', async ({ a, b, settle, connect }) => {
  const drive = await a.drive()
  const copy = await b.drive(drive.key)
  a.join(drive, 'chat')
  b.join(copy, 'chat')
  await connect()
  b.send(copy, 'chat', text('there is nothing to read'))
  await settle()
  b.kill()
})

add('batch', 'Several messages of two topics in one batch, names compressed.', async ({ a, b, settle, connect }) => {
  const drive = await b.drive()
  const copy = await a.drive(drive.key)
  for (const topic of ['chat', 'game']) {
    a.join(copy, topic)
    b.join(drive, topic)
  }
  await connect()
  a.cork(() => {
    for (const topic of ['chat', 'chat', 'game', 'game', 'chat']) a.send(copy, topic, text(`to ${topic}`))
  })
  await settle()
  for (const topic of ['game', 'game', 'chat']) b.send(drive, topic, text(`to ${topic}`))
})

add('topics', 'Topics are joined and left while connected.', async ({ a, b, settle, connect }) => {
  const drive = await b.drive()
  const copy = await a.drive(drive.key)
  a.join(copy, 'chat')
  b.join(drive, 'chat')
  await connect()
  a.join(copy, 'game')
  a.send(copy, 'game', text('not heard'))
  a.send(copy, 'chat', text('heard'))
  await settle()
  b.join(drive, 'game')
  a.send(copy, 'game', text('heard'))
  await settle()
  b.leave(drive, 'chat')
  a.send(copy, 'chat', text('not heard'))
  b.send(drive, 'game', text('heard'))
})

add('stranger', 'Each side has a drive that the other does not know: all is refused.', async ({ a, b, settle, connect }) => {
  await a.drive()
  await b.drive()
  await connect()
}, 'channels') // the order of the refusals depends on which core is looked up first

add('late', 'One of two readers opens the drive on a connection that is there.', async ({ session, a, b, settle, connect }) => {
  const drive = await b.drive(session.key('drive'))
  b.join(drive, 'chat')
  await connect()
  const copy = await a.drive(drive.key)
  a.join(copy, 'chat')
  await settle()
  a.send(copy, 'chat', text('here I am'))
})

add('two-drives', 'Each side has written a drive and reads the other one.', async ({ a, b, settle, connect }) => {
  const drives = [await a.drive(), await b.drive()]
  for (const drive of drives) await drive.put('/name', text('a drive'))
  const copies = [await b.drive(drives[0].key), await a.drive(drives[1].key)]
  const at = { a: [drives[0], copies[1]], b: [copies[0], drives[1]] }
  for (const number of [0, 1]) {
    a.join(at.a[number], 'chat')
    b.join(at.b[number], 'chat')
  }
  await connect()
  for (const number of [0, 1]) {
    a.send(at.a[number], 'chat', text('hello'))
    b.send(at.b[number], 'chat', text('hello'))
    await settle()
  }
})

module.exports = scenarios
