"""Topics: the drives, members, topic handles, watches and requests of one node, over many connections.

`machine` is the entrance. `drives` and `members` define its records; each other module keeps one part of its
state. Knowledge of a wire belongs in `wires`; `naming` alone knows the names that carry a topic there.
"""
