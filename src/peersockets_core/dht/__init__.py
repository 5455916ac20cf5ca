"""HyperDHT: finds the peers of a topic and connects to a key, without I/O.

rpc/        dht-rpc: the table of nodes, requests and queries below everything here
"""
