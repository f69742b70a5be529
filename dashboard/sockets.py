"""The socket that people and programs come to: a connection of whoever does not read ends, whatever is sent over it."""

import socket

import uvicorn

UNREAD_SECONDS = 60.0
"""So long the other side may take nothing of what it is sent: a page in a laptop that was closed, a stopped program."""
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
"""And so it is found out, in seconds and tries, that a machine is gone to which nothing is sent."""


def listening(config: uvicorn.Config) -> socket.socket:
    """Bound to the server's address. What is set of it holds for every connection that comes in.

    Raises:
        SystemExit: the address is taken.
    """
    bound = config.bind_socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {**KEEPALIVE, "TCP_USER_TIMEOUT": round(UNREAD_SECONDS * 1000)}.items():
        option = getattr(socket, name, None)  # not every system has them all
        if option is not None:
            bound.setsockopt(socket.IPPROTO_TCP, option, value)
    return bound
