"""An internet of network namespaces: DHT nodes, routers that translate addresses, and hosts behind them.

    internet   a router that joins everything with a public address; where it loses packets, and where those
               with a small TTL end, as on a path of `HOPS` hops
    dht        a host with many public addresses, for the nodes of the DHT
    N-M        a host of the place N, behind the routers N-r0 (the nearest to the internet), N-r1, ...

All of them are inside a user and network namespace of their own, so that they need no rights, and nothing of
them remains. The public addresses are those of 6to4 relays, which RFC 7526 has retired: nobody has them, and
yet HyperDHT takes them for ordinary ones, other than those for documentation.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from nat.kinds import KINDS, Kind, Router

HOPS: Final = 10
"""The hops of a path through the internet. HyperDHT sends datagrams with a TTL of 5, which open the sender's
own NAT and must not reach the remote.
"""

TOOLS: Final = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "nft": "nftables"}
"""The commands that a world needs, and the packages that contain them."""

DHT_ADDRESSES: Final = tuple(f"192.88.99.{number}" for number in range(1, 31))
_KEEP: Final = (
    "mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up && echo ready && exec sleep infinity"
)


@attrs.frozen
class Host:
    """A host in a place."""

    world: World = attrs.field(repr=False)
    namespace: str
    address: str

    @property
    def enter(self) -> list[str]:
        """The words before a command that runs there."""
        return self.world.inside(self.namespace)

    def move(self, address: str) -> None:
        """Give the host another address on its LAN."""
        moving = f"ip addr flush dev lan\nip addr add {address}/24 dev lan\n"
        self.world.run(f"{moving}ip route add default via 192.168.1.1\n", self.namespace)


@attrs.define
class Place:
    """A home, an office or a phone: hosts of one network."""

    world: World = attrs.field(repr=False)
    kind: Kind
    number: int
    public_address: str
    lan: bool
    """Whether its hosts reach each other directly."""
    hosts: list[Host] = attrs.field(factory=list)

    def move(self) -> None:
        """Give its router another public address, as providers do from time to time."""
        router, before = self.routers[0], self.public_address
        address = self.public_address = self.world.next_address()
        self.world.run(
            f"ip -n internet route add {address} dev to-{router}\n"
            f"ip -n internet route del {before}\n"
            f"ip -n {router} addr add {address}/32 dev wan\n"
            f"ip -n {router} addr del {before}/32 dev wan\n"
            f"ip netns exec {router} nft -f - <<'.'\n{_router_rules(self.kind.routers[0], address)}.\n"
        )

    @property
    def routers(self) -> list[str]:
        """The namespaces of its routers, the nearest to the internet first."""
        return [f"{self.number}-r{level}" for level in range(len(self.kind.routers))]

    @property
    def upstream(self) -> str:
        """The public end: the first router, or the host itself."""
        return self.routers[0] if self.routers else f"{self.number}-0"

    def add_host(self) -> Host:
        """Add a host. A place without a router has only one."""
        name = f"{self.number}-{len(self.hosts)}"
        if self.routers:
            host = Host(self.world, name, f"192.168.1.{10 + len(self.hosts)}")
            self.world.run(_host_on_lan(self.routers[-1], host, isolated=not self.lan))
        else:
            assert not self.hosts
            host = Host(self.world, name, self.public_address)
        self.hosts.append(host)
        return host

    def forget_mappings(self) -> None:
        """Let the routers forget their mappings, like a router that is switched off and on."""
        for router in self.routers:
            self.world.forget_mappings(router)


class World:
    """The namespaces, made by `open_world`."""

    def __init__(self, keeper: int) -> None:
        self._keeper = keeper
        self._numbers = itertools.count()
        self._addresses = (f"192.88.99.{number}" for number in range(32, 255))

    @property
    def outside(self) -> list[str]:
        """The words before a command that runs beside the namespaces, with all rights over them."""
        target = ("--target", str(self._keeper), "--user", "--net", "--mount", "--preserve-credentials")
        return ["nsenter", *target]

    def inside(self, namespace: str) -> list[str]:
        """The words before a command that runs in one of the namespaces."""
        return [*self.outside, "ip", "netns", "exec", namespace]

    def run(self, script: str, namespace: str | None = None) -> None:
        """Run a shell script in a namespace, or in the namespace that holds them all. Raises `WorldError`."""
        prefix = self.outside if namespace is None else self.inside(namespace)
        done = subprocess.run(
            [*prefix, "sh", "-e"], input=script, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise WorldError(f"{done.stderr}\n{script}")

    def add_place(self, kind: Kind | str, *, lan: bool = True, udp_timeout: int | None = None) -> Place:
        """Add a place with one host.

        `lan` says whether several hosts reach each other directly. `udp_timeout` is the number of seconds
        after which its routers forget the mapping of a silent socket.
        """
        if isinstance(kind, str):
            kind = KINDS[kind]
        place = Place(self, kind, next(self._numbers), self.next_address(), lan)
        self.run("".join(_place(place, udp_timeout)))
        place.add_host()
        return place

    def next_address(self) -> str:
        """Return a public address that no host has had."""
        return next(self._addresses)

    def lose(self, percent: float) -> None:
        """Lose this share of all packets that pass through the internet."""
        rule = f"numgen random mod 10000 < {round(percent * 100)} drop" if percent else ""
        self.run(f"nft -f - <<'.'\n{_internet_rules(rule)}.\n", "internet")

    def forget_mappings(self, namespace: str) -> None:
        """Delete every connection that a namespace tracks."""
        program = "from nat.world import forget_all_mappings; forget_all_mappings()"
        command = [*self.inside(namespace), sys.executable, "-c", program]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})


class WorldError(Exception):
    """A command that builds the world has failed."""


@contextmanager
def open_world() -> Iterator[World]:
    """Make an internet with only the addresses of DHT nodes, for the length of the block."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise WorldError(f"install {', '.join(sorted({TOOLS[tool] for tool in missing}))}")
    unshared = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c"]
    keeper = subprocess.Popen([*unshared, _KEEP], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        if not keeper.stdout.readline():
            raise WorldError(keeper.stderr.read().decode())
        world = World(keeper.pid)
        world.run("".join(_internet()))
        world.lose(0)
        yield world
    finally:
        keeper.kill()
        keeper.communicate()


def forget_all_mappings() -> None:
    """Delete every connection that the kernel tracks in the namespace of this process."""
    delete, flags = 0x0102, 1 | 4  # IPCTNL_MSG_CT_DELETE of NFNL_SUBSYS_CTNETLINK; a request, acknowledged
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netfilter:
        netfilter.send(struct.pack("=IHHIIBBH", 20, delete, flags, 1, 0, socket.AF_INET, 0, 0))
        (error,) = struct.unpack_from("=i", netfilter.recv(4096), 16)
    if error:
        raise OSError(-error, os.strerror(-error))


def _internet() -> Iterator[str]:
    yield from _namespace("internet", forwards=True)
    yield from _namespace("dht")
    yield from _uplink("internet", 0, "dht", DHT_ADDRESSES)


def _internet_rules(loss: str) -> str:
    return f"""
add table ip path
delete table ip path
table ip path {{
    chain forward {{
        type filter hook forward priority 0
        ip ttl < {HOPS} drop
        {loss}
    }}
}}
"""


def _place(place: Place, udp_timeout: int | None) -> Iterator[str]:
    """Yield the commands that make a place, without its hosts behind routers."""
    above, address = "internet", place.public_address
    for level, (name, router) in enumerate(zip(place.routers, place.kind.routers, strict=True)):
        yield from _namespace(name, forwards=True)
        yield from _uplink(above, level, name, [address])
        yield f"ip netns exec {name} nft -f - <<'.'\n{_router_rules(router, address)}.\n"
        if udp_timeout is not None:
            for setting in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
                yield f"ip netns exec {name} sysctl -qw net.netfilter.{setting}={udp_timeout}\n"
        above, address = name, f"100.64.{level}.{place.number + 2}"
    if place.routers:
        yield f"ip -n {above} link add lan type bridge\n"
        yield f"ip -n {above} addr add 192.168.1.1/24 dev lan\n"
        yield f"ip -n {above} link set lan up\n"
        yield f"ip netns exec {above} sh -c '{_PLAIN_BRIDGE}'\n"
    else:
        yield from _namespace(place.upstream)
        yield from _uplink("internet", 0, place.upstream, [place.public_address])
        if place.kind.filtered:
            yield f"ip netns exec {place.upstream} nft -f - <<'.'\n{_FILTER}.\n"


def _namespace(name: str, *, forwards: bool = False) -> Iterator[str]:
    yield f"ip netns add {name}\n"
    yield f"ip -n {name} link set lo up\n"
    if forwards:
        yield f"ip netns exec {name} sysctl -qw net.ipv4.ip_forward=1\n"


def _uplink(above: str, level: int, below: str, addresses: Sequence[str]) -> Iterator[str]:
    """Yield the commands for a line from a router to the namespace below it, which has these addresses there.

    Each level has a gateway address of its own: a host does not answer ARP requests that come from one of its
    own addresses.
    """
    gateway = f"169.254.{level}.1"
    yield f"ip -n {above} link add to-{below} type veth peer name wan netns {below}\n"
    yield f"ip -n {above} addr add {gateway}/32 dev to-{below}\n"
    yield f"ip -n {above} link set to-{below} up\n"
    yield f"ip -n {below} link set wan up\n"
    for address in addresses:
        yield f"ip -n {above} route add {address} dev to-{below}\n"
        yield f"ip -n {below} addr add {address}/32 dev wan\n"
    yield f"ip -n {below} route add {gateway} dev wan\n"
    yield f"ip -n {below} route add default via {gateway} dev wan\n"


def _host_on_lan(router: str, host: Host, *, isolated: bool) -> str:
    name = host.namespace
    commands = [
        *_namespace(name),
        f"ip -n {router} link add to-{name} type veth peer name lan netns {name}\n",
        f"ip -n {router} link set to-{name} master lan\n",
        f"ip -n {router} link set to-{name} up\n",
        f"ip -n {name} link set lan up\n",
        f"ip -n {name} addr add {host.address}/24 dev lan\n",
        f"ip -n {name} route add default via 192.168.1.1\n",
    ]
    if isolated:
        commands.append(f"ip netns exec {router} nft -f - <<'.'\n{_ISOLATION}.\n")
    return "".join(commands)


# The router's rules apply to datagrams for its public address. They must not apply to datagrams between two
# hosts of the LAN.
_PLAIN_BRIDGE: Final = (
    "sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.lan.send_redirects=0;"
    " sysctl -eqw net.bridge.bridge-nf-call-iptables=0"
)

# The input chains matter. Without them, an unsolicited datagram would take the port that the mapping of a
# host needs, and that host would get another port.
_FILTER: Final = """
table ip filter {
    chain input {
        type filter hook input priority 0; policy drop
        iif lo accept
        ct state established,related accept
    }
}
"""

_ISOLATION: Final = """
add table bridge isolation
delete table bridge isolation
table bridge isolation {
    chain forward {
        type filter hook forward priority 0; policy drop
    }
}
"""


def _router_rules(router: Router, address: str) -> str:
    """Return the rules of a router that has this address on the internet.

    nftables has no hairpin. The map remembers the host of each port, which is right if ports are kept.
    """
    how = "masquerade fully-random" if router.mapping == "random" else "masquerade"
    remember = 'oifname "wan" meta l4proto udp update @hosts { udp sport : ip saddr }'
    hairpin = 'iifname != "wan" fib daddr type local meta l4proto udp dnat to udp dport map @hosts'
    return f"""
add table ip nat
delete table ip nat
table ip nat {{
    map hosts {{
        type inet_service : ipv4_addr
        flags dynamic,timeout
        timeout 5m
    }}
    chain remember {{
        type filter hook postrouting priority 90
        {remember if router.hairpin else ""}
    }}
    chain out {{
        type nat hook postrouting priority 100
        oifname "wan" {how}
        ct status dnat snat to {address}
    }}
    chain in {{
        type nat hook prerouting priority -100
        {hairpin if router.hairpin else ""}
    }}
    chain input {{
        type filter hook input priority 0
        iifname "wan" ct state new,invalid drop
    }}
    chain forward {{
        type filter hook forward priority 0; policy drop
        iifname != "wan" accept
        ct state established,related accept
    }}
}}
"""
