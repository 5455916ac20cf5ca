// An application in TypeScript, for the declarations of the JavaScript module. It is compiled, and never run.

import peersockets = require('hyperdrive-peersockets')
import { PeerGone, RequestError } from 'hyperdrive-peersockets'
import type { Handler, MessageEvent, PeerEvents, Peersockets, Requests, Topic } from 'hyperdrive-peersockets'

declare const drive: { core: { key: Buffer }, close (): Promise<void> }

const sockets: Peersockets = peersockets(drive)
const chat: Topic = sockets.join('chat')
chat.addEventListener('message', event => {
  const heard: MessageEvent = event
  const text: string = new TextDecoder().decode(event.message)
  const key: string = event.publicKey.toString('hex')
  console.log(chat.name, heard.peerId + 1, text, key, event.type)
}, { once: true })

const events: PeerEvents = sockets.watch()
const greet = (event: { peerId: number }): void => {
  try {
    chat.send(event.peerId, new Uint8Array(1))
    chat.send(event.peerId, Buffer.from('hello'))
  } catch (error) {
    if (!(error instanceof PeerGone)) throw error
  }
}
events.addEventListener('join', greet, { signal: AbortSignal.timeout(1000) })
events.removeEventListener('join', greet)
events.addEventListener('leave', event => console.log(event.peerId))
events.close()

const answer: Handler = async (data, peerId, signal) => {
  if (data.toString() !== 'greeting' || signal.aborted) throw new RequestError(`no such file, ${peerId}`)
  return Buffer.from('hello')
}
const files: Requests = sockets.requests('files', answer, error => console.error(error))
const asking: Requests = sockets.requests('files')
for (const [peerId, publicKey] of sockets.peers) {
  const reply: Promise<Buffer> = files.request(peerId, publicKey, { signal: AbortSignal.timeout(1000) })
  reply.then(data => console.log(data.length), (error: unknown) => console.log(error instanceof RequestError))
}
asking.close()
chat.close()

// @ts-expect-error: a message is bytes
chat.send(1, 'hello')
// @ts-expect-error: a peer id is a number
chat.send('1', new Uint8Array())
// @ts-expect-error: a topic has no such event
chat.addEventListener('join', () => {})
// @ts-expect-error: joins and leaves carry no message
events.addEventListener('join', event => event.message)
// @ts-expect-error: a handler returns bytes
sockets.requests('files', () => 'hello')
// @ts-expect-error: a drive has a core
peersockets({})
