'use strict'

// Commands to ask and answer with javascript/requests.js, for the peers of both generations.

const { Requests, RequestError } = require('../../../javascript/requests')
const { emit } = require('./lines')

const base64 = buffer => buffer.toString('base64')
const unbase64 = text => Buffer.from(text, 'base64')

const SECRET = 'ENOENT: /home/somebody/secret'
const waiting = [] // functions that end the waiting handlers

// Handlers that are wrong, and handlers that only look wrong.
const odd = {
  'returns at once': () => Buffer.from('fine'),
  'returns a Uint8Array': async () => new Uint8Array([102, 105, 110, 101]),
  'returns a string': () => SECRET,
  'returns nothing': () => {},
  'resolves to a number': async () => 7,
  'throws at once': () => { throw new Error(SECRET) },
  'throws later': async () => { throw new Error(SECRET) },
  'throws a string': () => { throw SECRET },
  'throws null': async () => { throw null }, // eslint-disable-line no-throw-literal
  'refuses at once': () => { throw new RequestError('no') },
  'refuses later': async () => { throw new RequestError('no') },
  'returns too much': () => Buffer.alloc(8 * 2 ** 20),
  'refuses with too much': () => { throw new RequestError('x'.repeat(8 * 2 ** 20)) },
  waits: (data, peer) => {
    emit('held', { publicKey: peer.remotePublicKey.toString('hex') })
    return new Promise(resolve => waiting.push(() => resolve(Buffer.from('fine'))))
  }
}

function handler (data, peer, signal) {
  return (odd[data.toString()] ?? usual)(data, peer, signal)
}

function onfailure (error) {
  emit('failed', { message: String(error?.message ?? error) })
  throw new Error('the log is full')
}

// The text of a request decides its outcome.
async function usual (data, peer, signal) {
  const publicKey = peer.remotePublicKey.toString('hex')
  const text = data.toString()
  if (text.startsWith('refuse ')) throw new RequestError(text.slice('refuse '.length))
  if (text === 'who') return Buffer.from(publicKey)
  if (text !== 'hold') return Buffer.from(data).reverse()
  emit('held', { publicKey })
  await new Promise(resolve => { signal.onabort = resolve })
  emit('aborted', { publicKey })
  return Buffer.from('too late')
}

// `join` joins the topic that a command names, and `peerOf` finds its peer.
module.exports = function requestCommands (join, peerOf) {
  const joined = [] // by handle
  return {
    // Without an `answer`, there is no handler. A `forgetful` one never learns of peers that leave.
    joinRequests ({ answer = true, forgetful = false, ...parameters }) {
      const requests = new Requests(options => join(parameters, options), answer ? handler : undefined, onfailure)
      return { handle: joined.push({ requests, parameters, forgetful, aborter: new AbortController() }) - 1 }
    },
    async request ({ handle, publicKey, data }) {
      const { requests, parameters, aborter } = joined[handle]
      return { reply: base64(await requests.request(unbase64(data), peerOf(parameters, publicKey), aborter.signal)) }
    },
    // Aborts all requests in progress.
    abortRequests ({ handle }) {
      joined[handle].aborter.abort(new Error('given up'))
      joined[handle].aborter = new AbortController()
    },
    // Ends the waiting handlers.
    release () {
      for (const end of waiting.splice(0)) end()
    },
    peerLeft (peer) {
      for (const { requests, forgetful } of joined) if (!forgetful) requests.left(peer)
    }
  }
}
