"""The inside of a swarm: the socket, the machine, and what comes of its events."""
