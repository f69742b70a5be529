"""Whether the ports are free, and if not, who has them."""

import errno
import socket

import psutil

CURES = {
    errno.EADDRNOTAVAIL: "It is not an address of this machine: choose another --host.",
    errno.EACCES: "Ports below 1024 are for root: choose a higher one with {option}.",
}


def port_problem(host: str, port: int, option: str) -> str | None:
    """Why nobody can listen there, with the option that chooses another; None when it is free."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the servers do: connections that were closed a moment ago are in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except socket.gaierror as error:
        return f"{host} is no address: {error.strerror}. Choose another --host."
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"Port {port} on {host} is in use{_user_of(port)}. Choose another one with {option}."
        cure = CURES.get(error.errno or 0, "").format(option=option)
        return f"Nothing can listen on {host}, port {port}: {error.strerror}. {cure}".rstrip()
    return None


def _user_of(port: int) -> str:
    """` by python3 (pid 7)`, as far as this user may know."""
    try:
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                return f" by {psutil.Process(each.pid).name()} (pid {each.pid})"
    except psutil.Error:
        pass
    return ""
