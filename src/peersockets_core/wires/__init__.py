"""Wires: the two generations of Hyperdrive's protocol, each from decrypted bytes to events.

`wire` is the interface that `Connection` uses, and `table` lists its implementations: `hypercore9` and
`hypercore11`. The other modules are the parts that both share.
"""
