"""One simulation in virtual time: a network for machines that speak the datagram pattern, and streams.

    link        one direction of a line: loss, bursts, delay, jitter, reordering, duplication, corruption,
                a bandwidth with a finite queue, an MTU; every condition can change at any time
    network     the clock, the sites, and the path of a datagram from one host to another
    host        a machine with its address; reads and writes runs of datagrams as an adapter does
    gateway     translates the addresses of a site: NATs and firewalls
    pattern     the methods that a machine needs
    tcp         a CUBIC TCP as a competitor for the same bottleneck
    punch_host  a node without a network that notes the calls of a punch
    identity    entropy and key pairs that are the same in every run
    streams     nodes of topics with streams between them: its `Network` moves bytes in any pieces and order

A run needs no real time: the clock jumps to the next event. It draws every chance from the network's
seed, so the same seed gives the same run.

    network = Network(seed=1)
    line = Link(delay=0.02, loss=0.01, bandwidth=50e6, queue=250_000)
    alice = network.add_site(up=line).add_host("10.0.0.1", machine, on_event=events.append)
    bob = network.add_site().add_host("10.0.0.2", other)
    network.run_until(lambda: done, within=60)
    network.run_until_idle(within=60)    # raises if a timer lives on
"""

from simulation.gateway import Firewall, Gateway, Nat, PortMapping
from simulation.host import Host
from simulation.link import FAST, Link
from simulation.network import Network, NeverIdle, NotReached, Site
from simulation.pattern import Address, Datagram, DatagramMachine

__all__ = [
    "FAST",
    "Address",
    "Datagram",
    "DatagramMachine",
    "Firewall",
    "Gateway",
    "Host",
    "Link",
    "Nat",
    "Network",
    "NeverIdle",
    "NotReached",
    "PortMapping",
    "Site",
]
