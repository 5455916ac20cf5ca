// One udx-native process: node --expose-gc reference.js ROLE OPTIONS (__init__.py describes the protocol).
const path = require('path')
const readline = require('readline')
const { createRequire } = require('module')
const wires = require('../wires')

const reference = createRequire(path.join(__dirname, '../../tests/interop/udx/package.json'))
const UDX = reference('udx-native')

const [role, text] = process.argv.slice(2)
const options = JSON.parse(text)
const HOST = '127.0.0.1'
const CLIENT = 1_000_000 // the client's first stream id; the server's ids are the same without it
const BUFFER = 4 << 20
const WARM_UP = 300 // round trips before the measured ones
const AT_ONCE = 64 // streams that are opened concurrently

const say = report => console.log(JSON.stringify(report))
const seconds = since => Number(process.hrtime.bigint() - since) / 1e9
const ended = emitter => new Promise(resolve => emitter.once('close', resolve))

function resident () {
  global.gc()
  return process.memoryUsage().rss
}

const udx = new UDX()
const socket = udx.createSocket()
let remotePort = 0

function open (number, isClient) {
  const stream = udx.createStream(number + (isClient ? CLIENT : 0))
  stream.connect(socket, number + (isClient ? 0 : CLIENT), remotePort, HOST)
  stream.on('error', () => {})
  return stream
}

// A server's role begins when the client's port is known, and reports its result when the client is done.
const servers = {
  sink (finish) {
    const stream = open(1, false)
    let bytes = 0
    let first = 0
    let start = 0n
    stream.on('data', data => {
      if (bytes === 0) {
        start = process.hrtime.bigint()
        first = data.length
      }
      bytes += data.length
    })
    stream.on('end', () => {
      finish({ bytes: bytes - first, seconds: seconds(start) })
      stream.end()
    })
  },

  echo (finish) {
    const stream = open(1, false)
    stream.on('data', data => stream.write(data))
    stream.on('end', () => stream.end())
    finish({})
  },

  // Opens streams ahead of the client, as many as the client has open, since a packet for a missing stream is lost.
  accept (finish) {
    let next = 1
    function accept () {
      if (next > options.count) return
      const stream = open(next++, false)
      stream.on('data', data => stream.write(data))
      stream.on('end', () => stream.end())
      stream.on('close', accept)
    }
    for (let i = 0; i < 2 * AT_ONCE; i++) accept()
    finish({})
  },

  idle (finish) {
    for (let i = 1; i <= options.count; i++) open(i, false)
    finish({})
  },

  receive (finish) {
    let messages = 0
    let start = 0n
    wires('hypercore11')(open(1, false), false, {
      onmessage () {
        if (messages++ === 0) start = process.hrtime.bigint()
        if (messages === options.count) finish({ messages: messages - 1, seconds: seconds(start) })
      }
    })
  }
}

const clients = {
  async bulk () {
    const stream = open(1, true)
    const chunk = Buffer.alloc(options.size)
    stream.resume()
    for (let i = 0; i < options.count; i++) {
      if (!stream.write(chunk)) await new Promise(resolve => stream.once('drain', resolve))
    }
    stream.end()
    await ended(stream)
    return {}
  },

  ping: () => new Promise(resolve => {
    const stream = open(1, true)
    const message = Buffer.alloc(options.size)
    const times = []
    let start, missing

    function next () {
      missing = message.length
      start = process.hrtime.bigint()
      stream.write(message)
    }

    stream.on('data', data => {
      missing -= data.length
      if (missing > 0) return
      times.push(seconds(start) * 1e6)
      if (times.length < WARM_UP + options.count) return next()
      const sorted = times.slice(WARM_UP).sort((a, b) => a - b)
      const percentile = part => sorted[Math.floor(sorted.length * part)]
      resolve({ p50: percentile(0.5), p99: percentile(0.99) })
    })
    next()
  }),

  async open () {
    const start = process.hrtime.bigint()
    let next = 1
    async function worker () {
      while (next <= options.count) {
        const stream = open(next++, true)
        stream.write(Buffer.alloc(1))
        stream.end()
        stream.resume()
        await ended(stream)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    return { seconds: seconds(start) }
  },

  idle () {
    for (let i = 1; i <= options.count; i++) open(i, true)
    return {}
  },

  send: () => new Promise(resolve => {
    let sent = 0
    let message
    const link = wires('hypercore11')(open(1, true), true, { onopen: more, ondrain: more })

    function more () {
      if (!message) message = link.encode(Buffer.alloc(options.size))
      while (sent < options.count) {
        sent++
        if (link.send(message) === false) return
      }
      resolve({})
    }
  })
}

async function main () {
  socket.bind(0, HOST)
  socket.setRecvBufferSize(BUFFER)
  socket.setSendBufferSize(BUFFER)
  say({ port: socket.address().port })
  let finish
  const finished = new Promise(resolve => { finish = resolve })
  const answers = {
    connect (port) {
      remotePort = port
      if (options.side === 'server') servers[role](finish)
      return {}
    },
    run: () => clients[role](),
    result: () => finished,
    resident: () => ({ resident: resident() })
  }
  const questions = readline.createInterface({ input: process.stdin })
  questions.on('line', async line => {
    const [question, value] = line.split(' ')
    say(await answers[question](Number(value)))
  })
  questions.on('close', () => process.exit())
}

main()
