'use strict'

// Commands to ask and answer with examples/requests.js, the same for the peers of both generations.

const { Requests } = require('../../../examples/requests')
const { emit } = require('./lines')

const base64 = buffer => buffer.toString('base64')
const unbase64 = text => Buffer.from(text, 'base64')

// What a request says is what becomes of it.
async function handler (data, peer, signal) {
  const publicKey = peer.remotePublicKey.toString('hex')
  const text = data.toString()
  if (text.startsWith('refuse ')) throw new Error(text.slice('refuse '.length))
  if (text === 'who') return Buffer.from(publicKey)
  if (text !== 'hold') return Buffer.from(data).reverse()
  emit('held', { publicKey })
  await new Promise(resolve => { signal.onabort = resolve })
  emit('aborted', { publicKey })
  return Buffer.from('too late')
}

// `join` joins the topic that a command names, and `peerOf` finds the peer that it is for.
module.exports = function requestCommands (join, peerOf) {
  const joined = [] // by handle
  return {
    joinRequests (parameters) {
      const requests = new Requests(options => join(parameters, options), handler)
      return { handle: joined.push({ requests, parameters }) - 1 }
    },
    // `timeout` is in milliseconds.
    async request ({ handle, publicKey, data, timeout }) {
      const { requests, parameters } = joined[handle]
      const signal = timeout ? AbortSignal.timeout(timeout) : undefined
      return { reply: base64(await requests.request(unbase64(data), peerOf(parameters, publicKey), signal)) }
    },
    peerLeft (peer) {
      for (const { requests } of joined) requests.left(peer)
    }
  }
}
