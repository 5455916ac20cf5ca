/// <reference types="node" />

interface PeerEvent extends Event {
  /** A number from 1 on. It belongs to one public key, on every topic, and is never given to another key. */
  readonly peerId: number
  /** The key of the peer, which has proved that it owns it. */
  readonly publicKey: Buffer
}

interface MessageEvent extends PeerEvent {
  readonly message: Uint8Array
}

interface Listening<Events> {
  addEventListener<Type extends keyof Events> (
    type: Type, listener: (event: Events[Type]) => void, options?: { once?: boolean, signal?: AbortSignal }
  ): void
  removeEventListener<Type extends keyof Events> (type: Type, listener: (event: Events[Type]) => void): void
}

/** One handle of a topic. Other handles of the topic are independent of it. */
interface Topic extends Listening<{ message: MessageEvent }> {
  readonly name: string
  /** Throws `PeerGone` for a peer that has left, and `RangeError` for an id that was never given. */
  send (peerId: number, message: Uint8Array): void
  close (): void
}

/** Fires `join` for every peer that is present or comes, and `leave` for every peer that goes. */
interface PeerEvents extends Listening<{ join: PeerEvent, leave: PeerEvent }> {
  close (): void
}

/** Answers a request. `signal` aborts when the asker cancels or leaves. */
type Handler = (data: Buffer, peerId: number, signal: AbortSignal) => Uint8Array | Promise<Uint8Array>

interface Requests {
  /** Resolves to the reply. Give it a signal, such as `AbortSignal.timeout(ms)`, since a peer may never answer. */
  request (peerId: number, data: Uint8Array, options?: { signal?: AbortSignal }): Promise<Buffer>
  close (): void
}

interface Peersockets {
  /** The public key of each member, by its id. */
  readonly peers: Map<number, Buffer>
  join (topic: string): Topic
  watch (): PeerEvents
  /** Asks peers on a topic, and answers them if there is a handler. `onfailure` is called with the handler's bugs. */
  requests (topic: string, handler?: Handler, onfailure?: (error: unknown) => void): Requests
}

/** Returns the peersockets of a drive that is ready: the same object for each call with the same drive. */
declare function peersockets (drive: { readonly core: object }): Peersockets

declare namespace peersockets {
  export type { Handler, MessageEvent, PeerEvent, PeerEvents, Peersockets, Requests, Topic }
  /** The addressed peer is not present, or has left. */
  export class PeerGone extends Error {}
  /** A handler throws it, and the asker gets its text. A request that is answered with an error is rejected with it. */
  export class RequestError extends Error {}
}

export = peersockets
