'use strict'

// The line protocol of the interop peers, one JSON object a line.
// stdin:  {"id", "command", ...parameters}, in ASCII, since readline takes U+2028 for the end of a line
// stdout: {"id", "result"} or {"id", "error"}, once for every command; {"event", ...} at any time.

const { createInterface } = require('readline')

const host = globalThis.peerHost // set if this peer is one of many in a process: host.js
const write = line => process.stdout.write(JSON.stringify({ peer: host?.number, ...line }) + '\n')

function emit (event, fields) {
  write({ event, ...fields })
}

// Commands run concurrently, as they arrive, so one that hangs does not stop the others.
function serve (commands) {
  if (host) return host.serve(commands)
  const input = createInterface({ input: process.stdin })
  input.on('close', () => process.exit(0))
  input.on('line', async line => {
    const { id, command, ...parameters } = JSON.parse(line)
    try {
      if (!Object.hasOwn(commands, command)) throw new Error(`Unknown command: ${command}`)
      write({ id, result: await commands[command](parameters) ?? {} })
    } catch (error) {
      write({ id, error: error.message })
    }
  })
}

module.exports = { emit, serve }
