"""The browser gateway: `beaker.peersockets` for the pages of an ordinary browser on this machine.

It needs `websockets`, which the extra `peersockets[serve]` installs. `docs/protocol/browser.md` specifies the
protocol between a page and the gateway. The modules:

    gateway         `open_gateway`: the web server
    loopback        the listening sockets
    connections, users      the TCP connections, and the users who opened them
    access, token   the decision about each request, and the token that a browser logs in with, without I/O
    files, inject   the files of the site, with the script in their pages
    frames          the frames of the protocol, without I/O
    tab, handles    one socket of a page, and its handles
    page_queue, reports     the frames that wait for the page
    peer_queues     the messages of the page that wait for peers
    limits          every bound
    static/         the script that runs in pages
    site/           the chat, which is served where no other folder is given
"""

from .gateway import Gateway, open_gateway
from .limits import DEFAULT_GATEWAY_LIMITS, GatewayLimits
from .token import token_of

__all__ = [
    "DEFAULT_GATEWAY_LIMITS",
    "Gateway",
    "GatewayLimits",
    "open_gateway",
    "token_of",
]
