"""Chat for an hour through NATs, with losses and restarts: `python -m benchmarks.soak`.

    __main__  members that talk, are restarted, and are counted at each mark
    report    the figures of the marks, as tables

Members of one drive, half of them ours and half Hyperswarm applications, are at all kinds of places
(`tests/nat/kinds.py`). All of them say something to all others every few seconds. One half of them is
restarted in turn, in good order or by SIGKILL. The other half goes on, and its processes are measured.

The figures of two marks are comparable: before each one, restarts are held back until everybody sees
everybody, and then for longer than the connection of a killed process lives. A resource that is kept
grows from mark to mark, with the number of restarts or of messages.
"""
