'use strict'

const assert = require('assert/strict')
const { test } = require('node:test')

const peersockets = require('..')
const { connect, keyPair, next, openDrive } = require('./drives')

const text = event => Buffer.from(event.message).toString()

// Two members of a drive that have seen each other join.
async function meet (t) {
  const drives = [await openDrive(t)]
  drives.push(await openDrive(t, drives[0].key))
  const sides = drives.map(drive => peersockets(drive))
  const watches = sides.map(side => side.watch())
  const joins = watches.map(watch => next(watch, 'join'))
  const end = connect(t, ...drives)
  const ids = (await Promise.all(joins)).map(event => event.peerId)
  return { drives, sides, watches, ids, end }
}

test('messages go both ways, to every handle of their topic and to no other', async t => {
  const { sides: [a, b], ids } = await meet(t)
  assert.deepEqual(ids, [1, 1])
  const [chat, other] = [a.join('chat'), a.join('other')]
  other.addEventListener('message', () => assert.fail('a message of another topic'))
  const handles = [b.join('chat'), b.join('chat')]
  const heard = Promise.all(handles.map(handle => next(handle, 'message')))
  chat.send(1, new TextEncoder().encode('hello'))
  assert.deepEqual((await heard).map(event => [event.peerId, text(event)]), [[1, 'hello'], [1, 'hello']])
  const answer = next(chat, 'message')
  handles[0].send(1, Buffer.alloc(0))
  assert.equal(text(await answer), '')
})

test('a closed handle receives nothing, and other handles of its topic still do', async t => {
  const { sides: [a, b] } = await meet(t)
  const chat = a.join('chat')
  const [closed, open] = [b.join('chat'), b.join('chat')]
  closed.addEventListener('message', () => assert.fail('a message for a closed handle'))
  closed.close()
  closed.close()
  assert.throws(() => closed.send(1, Buffer.from('x')), /closed/)
  const first = next(open, 'message')
  chat.send(1, Buffer.from('one'))
  assert.equal(text(await first), 'one')
  open.close()
  const again = b.join('chat') // when all handles are closed, the topic can be joined again
  const second = next(again, 'message')
  chat.send(1, Buffer.from('two'))
  assert.equal(text(await second), 'two')
})

test('a handle that another handle closes on a message does not receive it', async t => {
  const { sides: [a, b] } = await meet(t)
  const handles = [b.join('chat'), b.join('chat')]
  const heard = next(handles[0], 'message')
  handles[0].addEventListener('message', () => handles[1].close())
  handles[1].addEventListener('message', () => assert.fail('a message for a closed handle'))
  a.join('chat').send(1, Buffer.from('x'))
  await heard
})

test('a watch begins with the present peers', async t => {
  const { sides: [a], drives } = await meet(t)
  const watch = a.watch()
  const joined = await next(watch, 'join')
  assert.deepEqual([joined.peerId, joined.publicKey], [1, a.peers.get(1)])
  assert.deepEqual(joined.publicKey, drives[1].keyPair.publicKey)
})

test('a closed watch is silent', async t => {
  const { sides: [a], watches, end } = await meet(t)
  const closed = [a.watch(), watches[0]]
  for (const watch of closed) {
    for (const type of ['join', 'leave']) watch.addEventListener(type, () => assert.fail(type))
    watch.close()
  }
  const left = next(a.watch(), 'leave')
  end()
  assert.equal((await left).peerId, 1)
})

test('an id stays with its key and is not given to another', async t => {
  const { drives: [a, b], sides: [side], watches: [watch], end } = await meet(t)
  const left = next(watch, 'leave')
  end()
  assert.equal((await left).peerId, 1)
  assert.equal(side.peers.size, 0)
  assert.throws(() => side.join('chat').send(1, Buffer.from('x')), peersockets.PeerGone)
  assert.throws(() => side.join('chat').send(2, Buffer.from('x')), RangeError)

  let joined = next(watch, 'join')
  connect(t, a, b, [a.keyPair, keyPair()])
  assert.equal((await joined).peerId, 2)
  joined = next(watch, 'join')
  connect(t, a, b)
  assert.equal((await joined).peerId, 1)
})

test('a peer with two connections joins once and leaves with the last', async t => {
  const { drives: [a, b], sides: [side, other], watches: [watch], end } = await meet(t)
  watch.addEventListener('join', () => assert.fail('a second join'))
  const both = Promise.all([a, b].map(drive => new Promise(resolve => drive.core.once('peer-add', resolve))))
  const endSecond = connect(t, a, b)
  await both
  const gone = new Promise(resolve => a.core.once('peer-remove', resolve))
  end()
  await gone
  assert.deepEqual([...side.peers.keys()], [1])
  const heard = next(other.join('chat'), 'message')
  side.join('chat').send(1, Buffer.from('over the second'))
  assert.equal(text(await heard), 'over the second')
  const left = next(watch, 'leave')
  endSecond()
  assert.equal((await left).peerId, 1)
})

test('a drive has one set of peersockets, must be ready, and closes them all', async t => {
  assert.throws(() => peersockets({ core: { opened: false } }), /ready/)
  const { drives: [drive], sides: [a], watches: [watch] } = await meet(t)
  assert.equal(peersockets(drive), a)
  const topic = a.join('chat')
  const left = next(watch, 'leave')
  await drive.close()
  assert.equal((await left).peerId, 1)
  for (const use of [() => topic.send(1, Buffer.from('x')), () => a.join('chat'), () => a.watch()]) {
    assert.throws(use, /closed/)
  }
})

test('an extension that the application registered itself is not replaced', async t => {
  const drive = await openDrive(t)
  drive.core.registerExtension('peersockets/v0/chat', { encoding: 'binary' })
  assert.throws(() => peersockets(drive).join('chat'), /has registered peersockets\/v0\/chat itself/)
})

test('only bytes that fit the wire are sent', async t => {
  const { sides: [a, b] } = await meet(t)
  const chat = a.join('chat')
  for (const message of ['text', null, 7]) assert.throws(() => chat.send(1, message), TypeError)
  assert.throws(() => chat.send(1, Buffer.alloc(2 ** 24)), RangeError)
  const largest = 2 ** 24 - 1 - 64 - 'chat'.length
  assert.throws(() => chat.send(1, Buffer.alloc(largest + 1)), RangeError)
  const heard = next(b.join('chat'), 'message')
  chat.send(1, Buffer.alloc(largest))
  assert.equal((await heard).message.length, largest)
})

test('requests are answered, refused, and ended when the peer leaves', async t => {
  const { sides: [a, b], end } = await meet(t)
  let held
  const holds = new Promise(resolve => { held = resolve })
  b.requests('files', async (data, peerId, signal) => {
    if (data.toString() === 'secret') throw new peersockets.RequestError('no such file')
    if (data.toString() !== 'hold') return Buffer.from(`${data} for ${peerId}`)
    held()
    return new Promise(resolve => signal.addEventListener('abort', () => resolve(Buffer.from('late'))))
  })
  const files = a.requests('files')
  assert.equal((await files.request(1, Buffer.from('greeting'))).toString(), 'greeting for 1')
  await assert.rejects(files.request(1, Buffer.from('secret')), peersockets.RequestError)
  await assert.rejects(files.request(9, Buffer.from('x')), RangeError)
  const signal = AbortSignal.abort(new Error('given up'))
  await assert.rejects(files.request(1, Buffer.from('x'), { signal }), /given up/)
  const waiting = files.request(1, Buffer.from('hold'))
  await holds
  end()
  await assert.rejects(waiting, /gone/)
})

test('the end of requests reaches both sides', async t => {
  const { sides: [a, b] } = await meet(t)
  let begin
  const aborted = []
  const answering = b.requests('files', (data, peerId, signal) => new Promise(resolve => {
    signal.addEventListener('abort', () => { aborted.push(data.toString()); resolve(Buffer.alloc(0)) })
    begin()
  }))
  const ask = async (files, data) => {
    const begun = new Promise(resolve => { begin = resolve })
    const reply = files.request(1, Buffer.from(data))
    reply.catch(() => {})
    await begun
    return { reply }
  }
  const [first, second] = [a.requests('files'), a.requests('files')]
  const one = await ask(first, 'one')
  first.close()
  first.close()
  await assert.rejects(one.reply, /is closed/)
  await assert.rejects(first.request(1, Buffer.from('x')), /is closed/)
  const two = await ask(second, 'two') // its request follows the cancel of the first
  assert.deepEqual(aborted, ['one'])
  answering.close()
  await assert.rejects(two.reply, { message: 'no longer answering' })
  assert.deepEqual(aborted, ['one', 'two'])
})
