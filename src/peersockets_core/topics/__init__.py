"""Topics: the drives, members, topic handles, watches and requests of one node, over many connections.

Start reading at `machine`. `drives` and `members` define its records; each other module keeps one part of its
state. Everything that depends on a wire belongs in `wires`, except the names that carry a topic (`naming`).
"""
