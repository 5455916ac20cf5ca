/** The declarations of `beaker.peersockets`, for the pages of `peersockets serve`. */

/** A peer's number, from 1 on. It means the same peer for as long as the page lives. */
type PeerId = number

/** Something happened to a peer. */
interface PeerEvent extends Event {
  readonly peerId: PeerId
  /** The peer's public key, 64 hex digits. The peer has proved that it owns the key. */
  readonly publicKey: string
}

interface PeerLeaveEvent extends PeerEvent {
  /** The cause, for people. Empty if the peer closed its connection in good order. */
  readonly reason: string
  /** The number of bytes that the peer did not take. */
  readonly unsent: number
}

interface PeerMessageEvent extends PeerEvent {
  /** The message. It has a buffer of its own, as long as the message. */
  readonly message: Uint8Array
}

/** Messages of this page did not reach a peer. `preventDefault()` keeps the warning off the console. */
interface PeerLostEvent extends PeerEvent {
  /** `gone`: the peer is not present. `too large`: for the peer's wire. `full`: the peer does not keep up. */
  readonly reason: 'gone' | 'too large' | 'full'
  readonly messages: number
  readonly bytes: number
}

/** This page was too slow, and messages to it were dropped. `preventDefault()` keeps the warning off the console. */
interface MissedEvent extends Event {
  readonly messages: number
  readonly bytes: number
}

interface TopicEvents {
  message: PeerMessageEvent
  lost: PeerLostEvent
  missed: MissedEvent
}

/** One join of a topic. Two joins of one topic are independent of each other. */
interface Topic extends EventTarget {
  /**
   * Sends a message to a peer. Nothing happens if the peer is not present or the topic is closed.
   *
   * It throws a `TypeError` if the message is not a Uint8Array, and a `RangeError` if it has more than 8 MiB.
   */
  send(peerId: PeerId, message: Uint8Array): void
  /** Closes this join. Other joins of the topic stay open. */
  close(): void
  /** The number of bytes that this join has sent and that still wait for their peers. */
  readonly bufferedAmount: number
  addEventListener<K extends keyof TopicEvents>(
    type: K,
    listener: (this: Topic, event: TopicEvents[K]) => unknown,
    options?: boolean | AddEventListenerOptions
  ): void
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions
  ): void
}

interface PeerEventsEvents {
  join: PeerEvent
  leave: PeerLeaveEvent
}

/** A feed of the peers that join and leave. It begins with the present peers. */
interface PeerEvents extends EventTarget {
  /** Ends the feed. No connection ends. */
  close(): void
  addEventListener<K extends keyof PeerEventsEvents>(
    type: K,
    listener: (this: PeerEvents, event: PeerEventsEvents[K]) => unknown,
    options?: boolean | AddEventListenerOptions
  ): void
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions
  ): void
}

interface Peersockets extends EventTarget {
  /**
   * Joins a topic of the drive.
   *
   * It throws a `TypeError` if the topic is not text, and a `RangeError` if it has more than 64 KiB or if the page
   * has 1,024 topics and watches open.
   */
  join(topic: string): Topic
  /** Watches peers join and leave. */
  watch(): PeerEvents
  /** Your own public key, as peers of hypercore11 see it: 64 hex digits. Null until the page has been connected. */
  readonly publicKey: string | null
  /** Your own public keys on the two wires. Null until the page has been connected. */
  readonly publicKeys: { readonly hypercore9: string, readonly hypercore11: string } | null
  /**
   * The connection to the gateway on this machine. It is `idle` until the first join or watch, and `failed` if the
   * gateway refuses this page for good. A `statechange` event follows each change.
   */
  readonly state: 'idle' | 'connecting' | 'open' | 'failed'
}

declare const beaker: { readonly peersockets: Peersockets }
