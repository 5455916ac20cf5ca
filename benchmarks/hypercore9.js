// One side of the reference: hypercore-protocol 8 over TCP, with one stream extension.
//   node hypercore9.js plain receive COUNT        prints {"port": N}, then {"messages": N, "seconds": S}
//   node hypercore9.js plain send COUNT SIZE PORT
const net = require('net')
const path = require('path')
const { createRequire } = require('module')
const reference = createRequire(path.join(__dirname, '../tests/interop/hypercore9/package.json'))
const Protocol = reference('hypercore-protocol')

const [, role, ...numbers] = process.argv.slice(2)
const [count, size, port] = numbers.map(Number)
const NAME = 'peersockets/v0/bench'

function connect (socket, initiator) {
  const stream = new Protocol(initiator)
  socket.setNoDelay(true)
  socket.on('error', () => {})
  socket.pipe(stream).pipe(socket)
  return stream
}

function receive () {
  const server = net.createServer(socket => {
    let messages = 0
    let start = 0n
    const stream = connect(socket, false)
    stream.registerExtension(NAME, {
      onmessage () {
        if (messages++ === 0) start = process.hrtime.bigint()
        if (messages < count) return
        const seconds = Number(process.hrtime.bigint() - start) / 1e9
        console.log(JSON.stringify({ messages: count - 1, seconds }))
        process.exit()
      }
    })
  })
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
}

function send () {
  const stream = connect(net.connect(port, '127.0.0.1'), true)
  const extension = stream.registerExtension(NAME, {})
  const message = Buffer.alloc(size, 'x')
  let sent = 0
  stream.on('handshake', more)
  stream.on('close', () => process.exit())

  function more () {
    while (sent < count) {
      sent++
      // Respect back pressure, as the package itself does not.
      if (extension.send(message) === false) return setImmediate(more)
    }
  }
}

if (role === 'receive') receive()
else send()
