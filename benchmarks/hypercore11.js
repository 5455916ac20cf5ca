// One side of the reference: protomux over secret-stream over TCP, with one channel of raw messages.
//   node hypercore11.js plain|corked receive COUNT        prints {"port": N}, then {"messages": N, "seconds": S}
//   node hypercore11.js plain|corked send COUNT SIZE PORT
const net = require('net')
const path = require('path')
const { createRequire } = require('module')
const reference = createRequire(path.join(__dirname, '../tests/interop/hypercore11/package.json'))
const SecretStream = reference('@hyperswarm/secret-stream')
const Protomux = reference('protomux')
const c = reference('compact-encoding')

const [variant, role, ...numbers] = process.argv.slice(2)
const [count, size, port] = numbers.map(Number)
const BATCH = variant === 'corked' ? 1000 : 1

function connect (socket, initiator, options) {
  socket.setNoDelay(true)
  socket.on('error', () => {})
  const stream = new SecretStream(initiator, socket)
  stream.on('error', () => {})
  const mux = new Protomux(stream)
  const { onmessage, ...rest } = options
  const channel = mux.createChannel({ protocol: 'bench', ...rest })
  const message = channel.addMessage({ encoding: c.raw, onmessage })
  channel.open()
  return { stream, mux, message }
}

function receive () {
  let messages = 0
  let start = 0n
  function onmessage () {
    if (messages++ === 0) start = process.hrtime.bigint()
    if (messages < count) return
    const seconds = Number(process.hrtime.bigint() - start) / 1e9
    console.log(JSON.stringify({ messages: count - 1, seconds }))
    process.exit()
  }
  const server = net.createServer(socket => connect(socket, false, { onmessage }))
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
}

function send () {
  const payload = Buffer.alloc(size, 'x')
  let sent = 0
  const { stream, mux, message } = connect(net.connect(port, '127.0.0.1'), true, { onopen: more, ondrain: more })
  stream.on('close', () => process.exit())

  function more () {
    while (sent < count) {
      if (BATCH > 1) mux.cork()
      for (let i = 0; i < BATCH && sent < count; i++, sent++) message.send(payload)
      if (BATCH > 1) mux.uncork()
      if (!mux.drained) return
    }
  }
}

if (role === 'receive') receive()
else send()
