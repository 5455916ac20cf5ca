// One process of the reference: node --expose-gc reference.js ROLE OPTIONS (__init__.py describes the protocol).
const net = require('net')
const readline = require('readline')
const wires = require('./wires')

const [role, text] = process.argv.slice(2)
const options = JSON.parse(text)
const connect = wires(options.wire)
const HOST = '127.0.0.1'
const WARM_UP = 300 // round trips before the measured ones
const BATCH = options.style === 'corked' ? 1000 : 1

const say = report => console.log(JSON.stringify(report))
const seconds = since => Number(process.hrtime.bigint() - since) / 1e9

function resident () {
  global.gc()
  return process.memoryUsage().rss
}

// Plays the role: servers accept each connection, clients resolve when their work is done.

const servers = {
  receive (finish) {
    let messages = 0
    let start = 0n
    return () => ({
      onmessage () {
        if (messages++ === 0) start = process.hrtime.bigint()
        if (messages === options.count) finish({ messages: messages - 1, seconds: seconds(start) })
      }
    })
  },

  echo (finish) {
    finish({})
    return link => ({ onmessage: message => link().send(message) })
  },

  room (finish) {
    finish({})
    const links = []
    const onmessage = message => {
      for (const link of links) link().send(message)
    }
    return link => ({ onopen: () => links.push(link), onmessage })
  }
}

const clients = {
  send: port => new Promise(resolve => {
    let sent = 0
    let message
    const link = dial(port, { onopen: more, ondrain: more })

    function more () {
      if (!message) message = link.encode(Buffer.alloc(options.size))
      while (sent < options.count) {
        let drained = true
        link.cork()
        for (let i = 0; i < BATCH && sent < options.count; i++, sent++) drained = link.send(message)
        link.uncork()
        // protomux calls ondrain; hypercore-protocol does not.
        if (drained === false) {
          if (options.wire === 'hypercore9') setImmediate(more)
          return
        }
      }
      resolve({})
    }
  }),

  ping: port => new Promise(resolve => {
    const times = []
    let start, message
    const link = dial(port, { onopen: next, onmessage: back })

    function next () {
      if (!message) message = link.encode(Buffer.alloc(options.size))
      start = process.hrtime.bigint()
      link.send(message)
    }

    function back () {
      times.push(seconds(start) * 1e6)
      if (times.length < WARM_UP + options.count) return next()
      const sorted = times.slice(WARM_UP).sort((a, b) => a - b)
      const percentile = part => sorted[Math.floor(sorted.length * part)]
      resolve({ p50: percentile(0.5), p99: percentile(0.99) })
    }
  }),

  async dial (port) {
    const start = process.hrtime.bigint()
    let left = options.count
    async function worker () {
      while (left-- > 0) await new Promise(resolve => dial(port, { drive: false, onhandshake: resolve }))
    }
    await Promise.all(Array.from({ length: options.at_once }, worker))
    return { seconds: seconds(start) }
  },

  // Applications get no back pressure here: npm peersockets and hypercore's extensions return nothing.
  flood: port => new Promise(resolve => {
    const link = dial(port, {
      onopen () {
        const before = resident()
        const payload = Buffer.alloc(options.size)
        for (let i = 0; i < options.count; i++) link.send(link.encode(payload))
        setTimeout(() => {
          resolve({ growth: resident() - before, accepted: options.count * options.size })
        }, 1000)
      }
    })
  })
}

function dial (port, on) {
  const socket = net.connect(port, HOST)
  socket.setNoDelay(true)
  socket.on('error', () => {})
  return connect(socket, true, on)
}

function serve () {
  let finish
  const finished = new Promise(resolve => { finish = resolve })
  const handlers = servers[role](finish)
  const server = net.createServer(socket => {
    socket.setNoDelay(true)
    socket.on('error', () => {})
    const link = connect(socket, false, handlers(() => link))
  })
  server.listen({ port: 0, host: HOST, backlog: 4096 }, () => say({ port: server.address().port }))
  return finished
}

async function main () {
  const result = role in servers ? serve() : clients[role](options.port)
  if (role in clients) {
    await result
    say({})
  }
  const questions = readline.createInterface({ input: process.stdin })
  questions.on('line', async question => say(question === 'result' ? await result : { resident: resident() }))
  questions.on('close', () => process.exit())
}

main()
