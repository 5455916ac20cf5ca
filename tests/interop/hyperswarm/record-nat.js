'use strict'

// Prints verdicts of hyperdht's NAT classifier, as JSON: the tables of tests/core/holepunch. Each sample is followed by
// the class, the addresses, and whether the classifier needs no more samples.
// Usage: node record-nat.js > ../../core/holepunch/nat.json

const Nat = require('hyperdht/lib/nat')

const HOSTS = ['88.0.0.1', '88.0.0.2', '88.0.0.3']
const WITNESS = index => ({ host: '99.0.0.1', port: 1 + index })
const CASES = 160

let state = 7
const chance = below => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) % 65521 % below

function play (samples, frozenAfter) {
  const nat = new Nat({ firewalled: true, nodes: { length: 0 } }, null, null)
  let resolved = false
  const resolve = nat._resolve
  nat._resolve = () => { resolved = true; resolve() }
  const verdicts = samples.map(({ host, port, witness }, index) => {
    nat.add({ host, port }, WITNESS(witness))
    if (index + 1 === frozenAfter) nat.freeze()
    return { firewall: nat.firewall, addresses: (nat.addresses ?? []).map(({ host, port }) => [host, port]), resolved }
  })
  return { samples: samples.map(({ host, port, witness }) => [host, port, witness]), frozenAfter, verdicts }
}

const cases = []
while (cases.length < CASES) {
  const [hosts, ports, length] = [1 + chance(3), 1 + chance(4), 1 + chance(8)]
  const samples = []
  for (let index = 0; index < length; index++) {
    const witness = chance(8) ? index : chance(index + 1) // sometimes a witness that was heard before
    samples.push({ host: HOSTS[chance(hosts)], port: 5000 + chance(ports), witness })
  }
  cases.push(play(samples, chance(4) ? 0 : 1 + chance(length)))
}
process.stdout.write(JSON.stringify(cases, null, 0).replaceAll('},{"samples"', '},\n{"samples"') + '\n')
