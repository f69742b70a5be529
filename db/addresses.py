"""Where requests may go that tasks and webhooks make: not to the addresses at which a machine tells its keys. Pure."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

ALLOW, DENY = "DUETIME_HTTP_ALLOW", "DUETIME_HTTP_DENY"
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

METADATA = tuple(
    ip_network(each)
    for each in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32")
)
"""Where clouds tell a machine its credentials: link-local addresses, and those of some clouds besides."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is allowed goes before what is denied; where anything is allowed, nothing else is."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Rules":
        """The rules that the environment names.

        Raises:
            ValueError: something is no network.
        """
        return _rules(environ.get(ALLOW, ""), environ.get(DENY, ""))

    def refusal(self, text: str) -> str:
        """Why nothing may be sent to this address; empty where it may."""
        address = ip_address(text.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if any(address in network for network in self.allow):
            return ""
        if self.allow:
            return f"{address} is not among the addresses of {ALLOW}."
        if any(address in network for network in METADATA):
            return f"{address} is where a machine tells its credentials. Allow it by {ALLOW} if this is meant."
        if any(address in network for network in self.deny):
            return f"{address} is denied by {DENY}."
        return ""


@lru_cache(maxsize=8)
def _rules(allow: str, deny: str) -> Rules:
    return Rules(_networks(ALLOW, allow), _networks(DENY, deny))


def _networks(variable: str, text: str) -> tuple[Network, ...]:
    words = [word for each in text.split(",") if (word := each.strip())]
    try:
        return tuple(ip_network(word, strict=False) for word in words)
    except ValueError as error:
        raise ValueError(f"{variable}: {error}. Write networks such as 10.0.0.0/8, with commas between.") from None
