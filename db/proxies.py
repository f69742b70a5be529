"""Which addresses are asked directly where the environment names a proxy: those of the system itself. Pure."""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
EXCEPTIONS = ("no_proxy", "NO_PROXY")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def asked_directly(environ: Mapping[str, str], *addresses: str) -> dict[str, str]:
    """The variables to set so that no proxy is asked for this machine, nor for these addresses where they are near.

    Nothing where no proxy is named. What somebody has excepted already stays excepted.
    """
    if not any(environ.get(name) or environ.get(name.upper()) for name in PROXIES):
        return {}
    # Each program prefers another of the two.
    known = [host for name in EXCEPTIONS for host in environ.get(name, "").replace(" ", "").split(",") if host]
    near = [host for address in addresses if (host := _host_of(address)) and _is_near(host)]
    value = ",".join(dict.fromkeys([*known, *LOOPBACK, *near]))
    return dict.fromkeys(EXCEPTIONS, value)


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _is_near(host: str) -> bool:
    """Whether a proxy would hardly know it: a name without a domain, as containers have, or a private address."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host
