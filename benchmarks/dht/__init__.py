"""Benchmarks of HyperDHT: this package's nodes beside hyperdht's, in one run; only ratios count.

    runner          starts the processes of a scenario, in turns, and makes figures of what they report
    load            asks a node as fast as it answers, from many addresses of this host
    ours            our process; reference.js is the same with hyperdht

    python -m benchmarks.dht
    python -m benchmarks.dht --rounds 3 --only dial

A process is started with a role and a JSON object of options. It prints `{"port": N}`, and then one JSON
object for each line on its standard input: `run` (a client's work), `resident`, `cpu` (the seconds of the
processor that it has used). It ends with its input.
"""
