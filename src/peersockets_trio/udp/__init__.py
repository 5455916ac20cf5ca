"""UDX for Trio: one UDP socket, and the streams that share it.

datagrams    the socket: sends and reads batches of datagrams, in one system call if the kernel can
sockets      `UdpSocket`: the tasks that move datagrams and keep time
write_batch  `WriteBatch`: when the output of a socket leaves, at once or with what follows soon
paths        `Paths`: further sockets, over which some remotes are reached
probe        `ProbeSocket`: a second socket, which asks whether the first one can be reached
streams      `UdxStream`: one stream, with the interface of Trio's streams
"""

from .probe import ProbeSocket, open_probe_socket
from .sockets import UdpSocket, open_udp_socket
from .streams import UdxStream

__all__ = ["ProbeSocket", "UdpSocket", "UdxStream", "open_probe_socket", "open_udp_socket"]
