"""UDX: reliable streams over UDP, as Hyperswarm uses them; the protocol, without I/O.

The layers, from datagrams to streams:

    packet          headers, ranges of received packets and padding, a run at a time
    ranges          sets of numbers
    assembler       puts packets in order and joins their bytes
    receive_half    the receiving half: order, window and acknowledgements
    queue, flight   bytes that are written but not sent; packets that are sent but not acknowledged
    recovery, rtt   decide which packets are lost, and measure round trips
    delivery, noise, bbr  measure the path and limit the bytes in flight (`congestion` is the interface)
    pacing, mtud    the length of bursts; the size of packets
    send_half       the sending half, on top of these
    state, timers   the states of a stream and its transitions; its timers, by name
    stream          one stream; `reception` and `transmission` handle its packets
    early, farewells  packets that arrive before a stream is connected, and after its end
    endpoint        all streams of one socket
"""

from .endpoint import Endpoint, EndpointStatistics, Event
from .errors import StreamReset, StreamTimedOut
from .events import (
    Address,
    AddressChanged,
    AddressConfirmed,
    DataReceived,
    EarlyPacket,
    EndAcknowledged,
    MessageReceived,
    StreamClosed,
    StreamEnded,
    WritableAgain,
)
from .limits import DEFAULT_UDX_LIMITS, UdxLimits
from .send_half import MAX_DATAGRAMS
from .state import State
from .stream import Stream
from .transmission import Transmission

__all__ = [
    "DEFAULT_UDX_LIMITS",
    "MAX_DATAGRAMS",
    "Address",
    "AddressChanged",
    "AddressConfirmed",
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
