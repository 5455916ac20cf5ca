'use strict'

// Sessions between peers without data, on both wires or on one: whole sessions that can be compared byte by byte.

const CHAT = 'peersockets/v0/chat'
const GAME = 'peersockets/v0/game'
const text = string => Buffer.from(string)

// The largest message on the topic "chat" that the wire carries.
const LARGEST = { hypercore9: 8 * 1024 * 1024 - 1, hypercore11: 0xffffff - 17 - 22 }

module.exports = function scenarios (wire, Peer) {
  const all = []
  const add = (name, shows, act, { names = [CHAT], drives = 1, answering = drives } = {}) => all.push({
    name: `${wire}-${name}`,
    shows,
    comparison: 'bytes',
    packages: Peer.packages,
    async run (session) {
      const keys = Array.from({ length: drives }, (_, number) => session.key(`drive ${number}`))
      const peers = [new Peer(session, 'initiator'), new Peer(session, 'responder')]
      for (const peer of peers) for (const name of names) peer.register(name)
      for (const key of keys) peers[0].open(key)
      for (const key of keys.slice(0, answering)) peers[1].open(key)
      await session.settle()
      await act({ session, keys, key: keys[0], a: peers[0], b: peers[1], settle: () => session.settle() })
      await session.settle()
    }
  })

  add('chat', 'Two peers open one drive and chat; the initiator ends the connection.', async ({ key, a, b, settle }) => {
    a.send(key, CHAT, text('hello'))
    await settle()
    b.send(key, CHAT, text('hello yourself'))
    await settle()
    a.send(key, CHAT, text('bye'))
    await settle()
    a.end()
  })

  add('both-at-once', 'Both send before either has heard the other; the responder ends the connection.', async ({ key, a, b, settle }) => {
    for (let number = 0; number < 3; number++) {
      a.send(key, CHAT, text(`from the initiator ${number}`))
      b.send(key, CHAT, text(`from the responder ${number}`))
    }
    await settle()
    b.end()
  })

  add('kill', 'The stream of the responder is cut.', async ({ key, a, b, settle }) => {
    a.send(key, CHAT, text('are you there?'))
    await settle()
    b.kill()
  })

  add('several-topics', 'Messages on three topics in turn.', async ({ key, a, b, settle }) => {
    const names = [CHAT, GAME, 'peersockets/v0/']
    for (const name of [...names, ...names]) a.send(key, name, text(name))
    await settle()
    for (const name of [GAME, GAME, CHAT, GAME]) b.send(key, name, text(name))
  }, { names: [CHAT, GAME, 'peersockets/v0/'] })

  add('topics-changing', 'Topics are joined and left between messages.', async ({ key, a, b, settle }) => {
    a.send(key, CHAT, text('one topic'))
    await settle()
    for (const peer of [a, b]) peer.register(GAME)
    a.send(key, GAME, text('two topics'))
    b.send(key, CHAT, text('two topics'))
    await settle()
    b.unregister(GAME)
    a.send(key, GAME, text('not heard'))
    a.send(key, CHAT, text('heard'))
    b.send(key, CHAT, text('one topic again'))
    await settle()
    b.register(GAME)
    b.register('peersockets/v0/a')
    a.send(key, GAME, text('heard again'))
    b.send(key, GAME, text('three topics'))
  })

  add('unjoined-topic', 'Messages on a topic that only the sender has joined are discarded.', async ({ key, a, b, settle }) => {
    b.register(GAME)
    b.send(key, GAME, text('not heard'))
    b.send(key, CHAT, text('heard'))
    await settle()
    a.send(key, CHAT, text('heard'))
  })

  add('sizes', 'An empty message, and sizes about the limits of length fields.', async ({ key, a, b, settle }) => {
    for (const size of [0, 1, 104, 105, 106, 107, 126, 127, 128, 226, 227, 228, 249, 250, 251, 252, 253, 254, 16381]) {
      a.send(key, CHAT, Buffer.alloc(size, 'A'))
      await settle()
    }
    b.send(key, CHAT, Buffer.alloc(70_000, 'B'))
    b.send(key, CHAT, Buffer.alloc(0))
  })

  add('largest', 'The largest message that the wire carries, and one behind it.', async ({ key, a, settle }) => {
    a.send(key, CHAT, Buffer.alloc(LARGEST[wire], 'A'))
    a.send(key, CHAT, text('behind it'))
    await settle()
  })

  add('several-drives', 'Three drives are open on one connection.', async ({ keys, a, b, settle }) => {
    for (const [number, key] of keys.entries()) a.send(key, CHAT, text(`drive ${number}`))
    await settle()
    for (const [number, key] of keys.entries()) b.send(key, CHAT, text(`drive ${number}`))
  }, { drives: 3 })

  add('no-common-drive', 'Each side opens drives that the other does not have.', async ({ session, b, settle }) => {
    b.open(session.key('another drive'))
    await settle()
    b.open(session.key('a third drive'))
  }, { answering: 0, drives: 2 })

  add('late-open', 'The responder refuses a drive, and opens it later.', async ({ key, a, b, settle }) => {
    b.open(key)
    await settle()
    a.send(key, CHAT, text('at last'))
    await settle()
    b.send(key, CHAT, text('sorry'))
  }, { answering: 0 })

  add('reopen', 'A drive is closed and opened again, by either side.', async ({ key, a, b, settle }) => {
    for (const [one, other] of [[a, b], [b, a], [a, b]]) {
      one.send(key, CHAT, text('open'))
      await settle()
      one.close(key)
      await settle()
      if (wire === 'hypercore9') { // the other side has closed it as well
        other.open(key)
        await settle()
      }
      one.open(key)
      await settle()
      other.send(key, CHAT, text('open again'))
      await settle()
    }
  })

  add('close-one', 'One of two drives is closed.', async ({ keys, a, b, settle }) => {
    a.close(keys[0])
    await settle()
    b.send(keys[1], CHAT, text('the second drive is still there'))
    await settle()
    b.close(keys[1])
  }, { drives: 2 })

  add('keepalives', 'Frames that say nothing, between messages.', async ({ key, a, b, settle }) => {
    a.keepalive()
    await settle()
    b.keepalive()
    a.keepalive()
    await settle()
    a.send(key, CHAT, text('still here'))
    await settle()
    b.keepalive()
  })

  add('wrong-capability', 'The responder claims a drive whose key it does not know.', async ({ key, b }) => {
    b.lie(key)
  }, { answering: 0, drives: 1 })

  if (wire === 'hypercore9') {
    add('utf16-order', 'Names are sorted by UTF-16 code units, which is not the order of code points.', async ({ key, a, b, settle }) => {
      const names = ['\u{1F600}', '\uFF5E', '\uE000', 'z', '\u00E9', 'Z', '\u{10000}', ''].map(topic => `peersockets/v0/${topic}`)
      for (const name of names) for (const peer of [a, b]) peer.register(name)
      for (const name of names) a.send(key, name, text(name))
      await settle()
      for (const name of names) b.send(key, name, text(name))
    })
    add('beaker', "Topics under Beaker's names, of two drives that are open.", async ({ keys, a, b, settle }) => {
      const names = keys.map(key => `peersockets/v0/webapp/${a.discoveryKey(key).toString('hex')}/chat`)
      for (const name of names) for (const peer of [a, b]) peer.register(name)
      for (const [number, name] of names.entries()) a.send(keys[number], name, text(`to drive ${number}`))
      await settle()
      for (const [number, name] of names.entries()) b.send(keys[number], name, text(`to drive ${number}`))
    }, { names: [], drives: 2 })
  } else {
    add('names-compressed', 'A name that was the last on its channel and way is left out; a new channel starts anew.', async ({ key, a, b, settle }) => {
      for (const name of [CHAT, CHAT, GAME, CHAT, CHAT]) {
        a.send(key, name, text('to'))
        b.send(key, name, text('fro'))
        await settle()
      }
      b.close(key)
      await settle()
      b.open(key)
      await settle()
      a.send(key, CHAT, text('in full again'))
      b.send(key, CHAT, text('in full again'))
    }, { names: [CHAT, GAME] })
    add('foreign-protocol', 'The responder opens channels of a protocol that the initiator does not know; the drive is shared all the same.', async ({ key, a, b, settle }) => {
      b.stray('example/protocol')
      b.stray('hypercore/beta')
      await settle()
      a.send(key, CHAT, text('refused, and here'))
    })
    add('batches', 'Many messages in one batch.', async ({ key, a, b, settle }) => {
      for (let size = 0; size < 260; size += 7) a.send(key, size % 3 ? CHAT : GAME, Buffer.alloc(size, size))
      await settle()
      for (let number = 0; number < 5; number++) b.send(key, CHAT, text(`number ${number}`))
    }, { names: [CHAT, GAME] })
  }
  return all
}
