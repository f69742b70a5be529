"""Where tasks and webhooks may send requests: not to the addresses at which a machine tells its credentials. Pure.

An IPv6 address that carries an IPv4 address is judged as that one, since a gateway forwards there. Private networks
and this machine are allowed, because that is where most tasks have something to do; `DUETIME_HTTP_DENY` refuses them.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

ALLOW, DENY = "DUETIME_HTTP_ALLOW", "DUETIME_HTTP_DENY"
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

METADATA = tuple(
    ip_network(each)
    for each in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::/32",  # AWS
        "fd20:ce::/32",  # Google
        "fd00:42::/32",  # Scaleway
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
    )
)
"""Where clouds tell a machine its credentials: link-local addresses, and those of some clouds besides."""

_MAPPED = IPv6Network("::ffff:0:0/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_EMBEDDINGS = (
    (IPv6Network("::/96"), 96),
    (_MAPPED, 96),
    (IPv6Network("::ffff:0:0:0/96"), 96),  # translated
    (IPv6Network("64:ff9b::/96"), 96),  # NAT64
    (IPv6Network("2002::/16"), 16),  # 6to4
    (IPv6Network("2001::/32"), 32),  # Teredo: its server
)
"""Networks whose addresses carry an IPv4 address, and the bit at which that begins."""
_LOCALHOST: dict[Address, Address] = {IPv4Address(0): IPv4Address("127.0.0.1"), IPv6Address(0): IPv6Address("::1")}
"""What is sent to no address in particular arrives at this machine."""


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
        if _is_in(address, self.deny) and not _is_in(address, self.allow):
            return f"{address} is denied by {DENY}."
        reasons = (self._refusal(address, meant) for meant in meanings(address))
        return next((why for why in reasons if why), "")

    def _refusal(self, address: Address, meant: Address) -> str:
        shown = str(address) if meant == address else f"{address}, which means {meant},"
        if _is_in(meant, self.allow):
            return ""
        if self.allow:
            return f"{shown} is not among the addresses of {ALLOW}."
        if _is_in(meant, METADATA):
            return f"{shown} is where a machine tells its credentials. Allow it by {ALLOW} if this is meant."
        if _is_in(meant, self.deny):
            return f"{shown} is denied by {DENY}."
        return ""


def meanings(address: Address) -> tuple[Address, ...]:
    """The addresses at which something that is sent to this one may arrive: those that it carries, or itself."""
    if address in _LOCALHOST:
        return (_LOCALHOST[address],)
    if isinstance(address, IPv4Address) or address.is_loopback:
        return (address,)
    carried = tuple(_LOCALHOST.get(each, each) for each in dict.fromkeys(_carried(address)))
    return carried or (address,)


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    for network, begin in _EMBEDDINGS:
        if address in network:
            yield _at(address, begin)
    if address.teredo:
        yield address.teredo[1]
    if address in _LOCAL_NAT64:
        yield from _by_local_nat64(address)
    if (int(address) >> 32) & 0xFCFF_FFFF == 0x5EFE:  # ISATAP, in the addresses of any network
        yield _at(address, 96)


def _at(address: IPv6Address, begin: int) -> IPv4Address:
    return IPv4Address((int(address) >> (96 - begin)) & 0xFFFF_FFFF)


def _by_local_nat64(address: IPv6Address) -> Iterator[IPv4Address]:
    """Every reading: the length of its prefix is known to its network only (RFC 6052), which skips bits 64 to 71."""
    bits = int(address)
    without_gap = (bits >> 64 << 56) | (bits & (1 << 56) - 1)
    for length in (48, 56, 64, 96):
        found = IPv4Address(bits & 0xFFFF_FFFF if length == 96 else (without_gap >> (88 - length)) & 0xFFFF_FFFF)
        if found not in IPv4Network("0.0.0.0/8"):
            yield found


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=8)
def _rules(allow: str, deny: str) -> Rules:
    return Rules(_networks(ALLOW, allow), _networks(DENY, deny))


def _networks(variable: str, text: str) -> tuple[Network, ...]:
    words = [word for each in text.split(",") if (word := each.strip())]
    try:
        return tuple(_as_ipv4(ip_network(word, strict=False)) for word in words)
    except ValueError as error:
        raise ValueError(f"{variable}: {error}. Write networks such as 10.0.0.0/8, with commas between.") from None


def _as_ipv4(network: Network) -> Network:
    """A network that is written as IPv4 addresses in IPv6 is the network of these."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((_at(network.network_address, 96), network.prefixlen - 96))
    return network
