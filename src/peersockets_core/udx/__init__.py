"""UDX: reliable streams over UDP, as Hyperswarm uses them; the protocol, without I/O.

The layers, from datagrams to streams:

    packet          headers, ranges of received packets and padding, a run at a time
    ranges          sets of numbers
    assembler       packets into bytes, in order
    receive_half    the window, and what the remote is told
    queue, flight   what is written and not sent, sent and not acknowledged
    recovery, rtt   which packets are lost, and when that is certain
    delivery, bbr   how fast the path is, and how much may be in flight (`congestion` is the interface)
    pacing, mtud    bursts, and sizes of packets
    send_half       all of these
    state, timers   the states of a stream and its transitions; its timers, by name
    stream          a stream, with `reception` and `transmission` of its packets
    early, farewells  what comes before a stream is connected, and after its end
    endpoint        the streams of one socket
"""

from .endpoint import Endpoint, EndpointStatistics
from .errors import StreamReset, StreamTimedOut
from .events import (
    Address,
    AddressChanged,
    DataReceived,
    EarlyPacket,
    EndAcknowledged,
    Event,
    MessageReceived,
    StreamClosed,
    StreamEnded,
    WritableAgain,
)
from .limits import DEFAULT_UDX_LIMITS, UdxLimits
from .state import State
from .stream import Stream
from .transmission import Transmission

__all__ = [
    "DEFAULT_UDX_LIMITS",
    "Address",
    "AddressChanged",
    "DataReceived",
    "EarlyPacket",
    "EndAcknowledged",
    "Endpoint",
    "EndpointStatistics",
    "Event",
    "MessageReceived",
    "State",
    "Stream",
    "StreamClosed",
    "StreamEnded",
    "StreamReset",
    "StreamTimedOut",
    "Transmission",
    "UdxLimits",
    "WritableAgain",
]
