'use strict'

// The asking side of javascript/requests.js on a topic that leads nowhere. Prints the faults, as a JSON list.

const { Requests, decode, encode } = require('../../../javascript/requests')

const sent = []
const wrong = []
const peer = {}
const requests = new Requests(() => ({ send: message => sent.push(decode(message)) }))

function check (right, text) {
  if (!right) wrong.push(text)
}

async function badArguments () {
  for (const data of ['text', undefined, Buffer.alloc(8 * 2 ** 20)]) {
    await requests.request(data, peer).then(() => check(false, 'a bad request has a reply'), () => {})
  }
  check(!sent.length && !requests.asked.size, 'a bad request is sent')
}

async function oneSignalForMany () {
  const { signal } = new AbortController()
  let listeners = 0
  for (const [name, step] of [['addEventListener', 1], ['removeEventListener', -1]]) {
    const original = signal[name]
    signal[name] = function (...parameters) {
      listeners += step
      return original.apply(this, parameters)
    }
  }
  const asked = requests.request(Buffer.from('x'), peer, signal)
  check(listeners === 1, 'the signal is not listened to')
  requests.receive(encode(1, sent.at(-1)[1], Buffer.alloc(0)), peer)
  await asked
  check(listeners === 0, 'the signal keeps a listener for each request')
}

async function idsInUse () {
  requests.request(Buffer.from('x'), peer).catch(() => {})
  requests.lastId = sent.at(-1)[1] - 1
  requests.request(Buffer.from('y'), peer).catch(() => {})
  check(sent.at(-1)[1] !== sent.at(-2)[1], 'an id is taken that is in use')
  requests.left(peer)
}

async function topicThatCannotSend () {
  const aborter = new AbortController()
  const asked = requests.request(Buffer.from('x'), peer, aborter.signal)
  requests.topic.send = () => { throw new Error('gone') }
  aborter.abort(new Error('given up'))
  await asked.then(() => {}, error => check(error.message === 'given up', 'an abort has another reason'))
  await requests.request(Buffer.from('x'), peer).then(() => {}, error => check(error.message === 'gone', 'no reason'))
  check(!requests.asked.size, 'a request is kept')
}

async function main () {
  await badArguments()
  await oneSignalForMany()
  await idsInUse()
  await topicThatCannotSend()
  console.log(JSON.stringify(wrong))
}

main()
