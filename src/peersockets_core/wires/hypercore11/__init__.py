"""The wire of hyperdrive 11 to 13, hypercore 10 and 11, and Pear: secret-stream and protomux.

The layers, from the bottom: `encoding` (compact-encoding), `secret_stream`, `batching`, `protomux`, `alpha`
(a peer of hypercore's protocol that has no data), and `wire`, which combines them. `secret_stream` and
`protomux` serve other protocols, too; `protomux` describes how to register one.
"""
