'use strict'

// Many peers in one process, which loads their packages once. Usage: node host.js SCRIPT, e.g. hypercore9/peer.js.
//
// Lines are as in lines.js, each with the number of its "peer". The command "open" starts a peer with "arguments" as
// its program's arguments. The script is evaluated again for each peer, the packages that it requires are not.

const { createInterface } = require('readline')
const { resolve } = require('path')

const script = resolve(process.argv[2])
const peers = new Map() // the commands of each peer, by its number

const write = line => process.stdout.write(JSON.stringify(line) + '\n')

function open (number, parameters) {
  for (const path of Object.keys(require.cache)) {
    if (!path.includes('/node_modules/')) delete require.cache[path]
  }
  process.argv = [process.argv[0], script, ...parameters]
  // For lines.js, which reads it when it is evaluated.
  globalThis.peerHost = { number, serve: commands => peers.set(number, commands) }
  require(script)
}

createInterface({ input: process.stdin }).on('close', () => process.exit(0)).on('line', async line => {
  const { id, peer, command, ...parameters } = JSON.parse(line)
  try {
    if (command === 'open') {
      open(peer, parameters.arguments)
      write({ peer, id, result: {} })
      return
    }
    const commands = peers.get(peer)
    if (!Object.hasOwn(commands, command)) throw new Error(`Unknown command: ${command}`)
    write({ peer, id, result: await commands[command](parameters) ?? {} })
    if (command === 'stop') peers.delete(peer)
  } catch (error) {
    write({ peer, id, error: error.message })
  }
})
