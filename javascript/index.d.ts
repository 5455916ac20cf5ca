/// <reference types="node" />

interface PeerEvent extends Event {
  /** A number from 1 on: one for a public key, the same on every topic, and never given to another. */
  readonly peerId: number
  /** The key of the peer, which has proved that it is its own. */
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

/** One handle of a topic. Others of the same topic are independent of it. */
interface Topic extends Listening<{ message: MessageEvent }> {
  readonly name: string
  /** Throws `PeerGone` for a peer that has left, and `RangeError` for an id that was never given. */
  send (peerId: number, message: Uint8Array): void
  close (): void
}

/** `join` for every peer that is there or comes, and `leave` for every one that goes. */
interface PeerEvents extends Listening<{ join: PeerEvent, leave: PeerEvent }> {
  close (): void
}

/** Answers a request; `signal` aborts when the asker cancels or leaves. */
type Handler = (data: Buffer, peerId: number, signal: AbortSignal) => Uint8Array | Promise<Uint8Array>

interface Requests {
  /** Resolves to the reply. A peer that does not answer says nothing: give a signal, as of `AbortSignal.timeout`. */
  request (peerId: number, data: Uint8Array, options?: { signal?: AbortSignal }): Promise<Buffer>
  close (): void
}

interface Peersockets {
  /** The public key of each member, by its id. */
  readonly peers: Map<number, Buffer>
  join (topic: string): Topic
  watch (): PeerEvents
  /** Asks peers on a topic, and answers them if there is a handler. `onfailure` is called with its bugs. */
  requests (topic: string, handler?: Handler, onfailure?: (error: unknown) => void): Requests
}

/** The peersockets of a drive that is ready; the same for each call with the same drive. */
declare function peersockets (drive: { readonly core: object }): Peersockets

declare namespace peersockets {
  export type { Handler, MessageEvent, PeerEvent, PeerEvents, Peersockets, Requests, Topic }
  /** The peer that a message is for is not there, or no longer. */
  export class PeerGone extends Error {}
  /** A handler throws it to give the asker its text; a request that is answered with an error is rejected with it. */
  export class RequestError extends Error {}
}

export = peersockets
