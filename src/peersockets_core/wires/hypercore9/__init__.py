"""The wire of hyperdrive 10, npm peersockets 1.0, Beaker 1.x and hyperspace: Noise XX and XSalsa20.

The layers, from the bottom: `varint`, `messages` (protobuf), `frames`, `handshake`, `channels`, and
`wire`, which combines them.
"""
