"""A DHT and the members of one drive, for a day, in virtual time, with the core that runs on sockets.

    network     the clock, and the way of a datagram
    population  DHT nodes and members that come and go
    mesh        how far a message gets among the members
    report      the figures of a period
    plot        the picture for the documentation

    python -m benchmarks.scale                      # 10,000 nodes, 1,000 members, a day
    python -m benchmarks.scale --nodes 1000 --hours 2
    python -m benchmarks.scale --sizes 50 100 200 400 800 1600

Time jumps from one event to the next: a datagram arrives, or a deadline of a machine comes.
"""
