"""Runtime: the machinery under the objects that an application holds.

`node_runtime` owns the machine of a node, and the tasks that all its connections share: deadlines, scheduling
of input, and flushing of output. `connection_task` moves the bytes of one connection, and `swarm_runtime` the
datagrams of one swarm.
"""
