"""The wire of hyperdrive 11 to 13, hypercore 10 and 11, and Pear: secret-stream and protomux.

From the bottom: `encoding` (compact-encoding), `secret_stream`, `batching`, `protomux`, `alpha` (a peer of
hypercore's protocol that has no data), and `wire`, which puts them together. `secret_stream` and `protomux`
serve other protocols as well; `protomux` tells how to register one.
"""
