"""Benchmarks: this package beside the JavaScript originals, in one run; only ratios count.

    scenarios       the table: what is measured, in which unit, and the ratio wanted
    runner          runs a scenario's processes, ours and the reference's in turns
    process         one such process, and how it is talked to
    ours            our processes; reference.js with wires.js is the same in JavaScript
    crowd           many simple peers in one process, the same for both
    core            the state machine alone
    report, plot    the table, the JSON file and the picture

A process is started with a role and a JSON object of options. It prints one JSON object when it is ready
(a client when it has done its work), answers `resident` and `result` on its standard input with another,
and ends with its input.
"""
