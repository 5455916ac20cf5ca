"""Benchmarks of UDX: this package's streams over UDP beside udx-native's, in one run; only ratios count.

    scenarios       the table: what is measured, between which implementations, and the ratio wanted
    runner          runs a scenario's two processes, with a bad line between them where it says so
    ours            our process; reference.js is the same with udx-native
    bare            the same work with bare datagrams: the floor of every Trio program
    player          the part that both have in common
    report          the table, for the screen and for docs/performance.md

    python -m benchmarks.udx --quick
    python -m benchmarks.udx --only bulk --rounds 3

A process is started with a role and a JSON object of options. It prints `{"port": N}`, and then one JSON
object for each line on its standard input: `connect PORT` (of the other side, or of the line to it), `run` (a
client's work), `result` (what a server has found), `resident`. It ends with its input.
"""
