// The reference's connection on each wire, behind one interface:
//   connect(socket, initiator, { drive, onhandshake, onopen, onmessage, ondrain }) -> { encode, send, cork, uncork }
// Messages are the output of `encode` for a payload. `send` returns false if further messages should wait. With `drive`
// it opens the drive whose key is all zeros and the topic "bench", with the names that the npm package peersockets and
// Beaker use.
const path = require('path')
const { createRequire } = require('module')

const KEY = Buffer.alloc(32)
const nothing = () => {}
const from = wire => createRequire(path.join(__dirname, `../tests/interop/${wire}/package.json`))

function hypercore9 () {
  const Protocol = from('hypercore9')('hypercore-protocol')
  const crypto = from('hypercore9')('hypercore-crypto')
  const name = `peersockets/v0/webapp/${crypto.discoveryKey(KEY).toString('hex')}/bench`

  return (socket, initiator, { drive = true, onhandshake = nothing, onopen = nothing, onmessage = nothing }) => {
    const stream = new Protocol(initiator)
    stream.on('error', nothing)
    stream.on('handshake', onhandshake)
    socket.pipe(stream).pipe(socket)
    const extension = stream.registerExtension(name, { onmessage })
    if (drive) stream.open(KEY, { onopen })
    return {
      encode: payload => payload,
      send: message => extension.send(message) !== false,
      cork: nothing,
      uncork: nothing
    }
  }
}

function hypercore11 () {
  const reference = from('hypercore11')
  const SecretStream = reference('@hyperswarm/secret-stream')
  const Protomux = reference('protomux')
  const c = reference('compact-encoding')
  const crypto = createRequire(reference.resolve('hypercore'))('hypercore-crypto')
  const caps = reference('hypercore/lib/caps')
  const id = crypto.discoveryKey(KEY)
  const EXTENSION = 9 // the message type of extensions in hypercore/alpha
  const name = c.encode(c.string, 'peersockets/v0/bench')
  // The first message contains the name, and later ones leave it out, as hypercore does.
  const encode = payload => Buffer.concat([Buffer.alloc(1), payload])
  const decode = body => body[0] === 0 ? body : encode(body.subarray(name.length))

  // A connection of hypercore 11, as far as extensions are concerned.
  function openDrive (stream, mux, { onopen, onmessage, ondrain }) {
    const channel = mux.createChannel({
      protocol: 'hypercore/alpha', id, handshake: c.raw, unique: true, onopen, ondrain
    })
    const messages = []
    for (let type = 0; type <= EXTENSION; type++) {
      const handle = type === EXTENSION ? body => onmessage(decode(body)) : nothing
      messages.push(channel.addMessage({ encoding: c.raw, onmessage: handle }))
    }
    const capability = caps.replicate(stream.isInitiator, KEY, stream.handshakeHash)
    channel.open(Buffer.concat([Buffer.alloc(1), capability]))
    return messages[EXTENSION]
  }

  return (socket, initiator, options) => {
    const { drive = true, onhandshake = nothing, onopen = nothing, onmessage = nothing, ondrain = nothing } = options
    const stream = new SecretStream(initiator, socket)
    stream.on('error', nothing)
    const mux = new Protomux(stream)
    let extension = null
    let named = false
    stream.on('handshake', () => {
      if (drive) extension = openDrive(stream, mux, { onopen, onmessage, ondrain })
      onhandshake()
    })
    return {
      encode,
      send (message) {
        if (named) return extension.send(message)
        named = true
        return extension.send(Buffer.concat([name, message.subarray(1)]))
      },
      cork: () => mux.cork(),
      uncork: () => mux.uncork()
    }
  }
}

module.exports = wire => ({ hypercore9, hypercore11 })[wire]()
