"""Whether a request comes from a page of ours, or from no page at all: by its Host and its Origin. Pure.

A page on the web can make its reader's browser send requests to a server on the reader's own machine. Such a request
shows by its Host, where a name was made to point here, or else by its Origin or by what the browser says of its site.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What every answer gets, so that no foreign page reads it, or shows it as its own."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - to be recognised, not listened on

NETWORK_OF_ONE = 64
"""Bits: whoever has one IPv6 address has all that begin like it."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)")

Authority = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Hosts:
    """Under which names and ports a server of ours is reached."""

    host: str
    """Where it listens, or where its port is published."""
    port: int
    allowed: frozenset[tuple[str, int | None]]
    """More names, each with its port; without one for the standard ports and ours."""
    variable: str
    """The one that names them, to be told."""

    @classmethod
    def named(cls, host: str, port: int, names: Iterable[str], *, variable: str) -> "Hosts":
        """With more names, such as `duetime.example.org` and `10.0.0.7:8080`.

        Raises:
            ValueError: one is none.
        """
        allowed = frozenset(_name(name, variable) for each in names if (name := each.strip()))
        return cls(host, port, allowed, variable)

    def admits(self, host: str) -> bool:
        """Whether a Host is one of ours."""
        found = _authority(host, default_port=self.port)
        return found is not None and (self._is_named(found) or self._is_address_here(found))

    def is_ours(self, origin: str, *, host: str) -> bool:
        """Whether an Origin is one of ours, in a request whose Host was admitted."""
        found = _ORIGIN.fullmatch(origin.lower())
        page = _authority(found[2], default_port=_PORTS[found[1]]) if found else None
        if page is None:
            return False
        # Where any address is ours, it is only the one by which the request came: others have pages of others.
        return self._is_named(page) or page == _authority(host, default_port=self.port)

    def _is_named(self, found: Authority) -> bool:
        name, port = found
        is_own = name in _LOOPBACK or name.strip("[]") == self.host.lower()
        if (is_own and port == self.port) or found in self.allowed:
            return True
        return (name, None) in self.allowed and port in (80, 443, self.port)

    def _is_address_here(self, found: Authority) -> bool:
        # No name can be made to point here when it is an address itself.
        return self.host in EVERY_ADDRESS and found[1] == self.port and is_address(found[0].strip("[]"))


def refusal(scope: Mapping[str, Any], hosts: Hosts) -> str:
    """Why a request or a websocket is not let in, to be told; nothing where it is. Takes the scope of ASGI."""
    headers = _headers(scope)
    named, origins = headers.get("host", []), headers.get("origin", [])
    if len(named) != 1 or not hosts.admits(named[0]):
        return f"The host {' and '.join(named)!r} is not known here. Name it in {hosts.variable} if it is ours."
    if len(origins) > 1 or not all(hosts.is_ours(origin, host=named[0]) for origin in origins):
        pages = " and ".join(origins)
        return f"Requests from pages of {pages} are refused. Name their host in {hosts.variable} if it is ours."
    return "" if origins else _refusal_without_origin(scope, headers)


def _refusal_without_origin(scope: Mapping[str, Any], headers: Mapping[str, list[str]]) -> str:
    if scope["type"] == "websocket":
        is_browser = "sec-fetch-site" in headers or headers.get("user-agent", [""])[0].startswith("Mozilla/")
        return "A browser says from where it opens a websocket." if is_browser else ""
    if set(headers.get("sec-fetch-site", ["none"])) <= {"same-origin", "none"}:
        return ""
    # A link in a mail leads here.
    if scope["method"] in SAFE_METHODS and headers.get("sec-fetch-mode", ["navigate"]) == ["navigate"]:
        return ""
    return "Requests from pages of other sites are refused."


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches it."""
    return host.lower() == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def network_of(address: str) -> str:
    """The part of an address that is one person's."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return address
    return str(known.ipv4_mapped or IPv6Address(int(known) >> NETWORK_OF_ONE << NETWORK_OF_ONE))


def is_address(name: str) -> bool:
    """Whether it is an address, and no name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _name(name: str, variable: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(name.lower())
    if match is None:
        raise ValueError(f"{variable} has {name!r}. Write names such as duetime.example.org or 10.0.0.7:8080.")
    return match[1], int(match[2]) if match[2] else None


def _authority(text: str, *, default_port: int) -> Authority | None:
    match = _AUTHORITY.fullmatch(text.lower())
    return None if match is None else (match[1], int(match[2] or default_port))


def _headers(scope: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found
